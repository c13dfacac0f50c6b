"""The check of packages before a flow, and what becomes of workers that join later and do not fit."""

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pytest
from distributed import Client
from distributed.versions import VersionMismatchWarning

from dask_flows.clusters import Wanted, attach, versions
from dask_flows.clusters.session import Session
from dask_flows.compatibility import Needs
from dask_flows.deadline import Deadline, SystemClock
from dask_flows.errors import WorkersLost
from dask_flows.flows.imports import imported_packages, imports_in
from dask_flows.flows.load import load
from dask_flows.run import Request

from .conftest import PATIENCE, SRC, Process, eventually, free_port

pytestmark = pytest.mark.processes

CLOCK = SystemClock()

# Makes a Dask process say that it has other versions than it has; null is for a package that is not there.
# Dask asks by ``importlib.metadata.version``; whether a module is there is asked by ``find_spec``.
LIAR = """
import importlib.metadata, importlib.util, json, os

lies = json.loads(os.environ.get("LIES", "{}"))
version, find_spec = importlib.metadata.version, importlib.util.find_spec

def lie(name):
    if name not in lies:
        return version(name)
    if lies[name] is None:
        raise importlib.metadata.PackageNotFoundError(name)
    return lies[name]

importlib.metadata.version = lie
if "deny" in lies:
    importlib.util.find_spec = lambda name, package=None: None if name == lies["deny"] else find_spec(name, package)
"""

FLOW = """
import time
import numpy
from distributed import get_client

def where(n):
    import os
    from distributed import get_worker
    time.sleep(0.02)
    return get_worker().name

def main(number=4, until=""):
    from pathlib import Path
    client = get_client()
    names = client.gather(client.map(where, range(number), pure=False))
    while until and not Path(until).exists():
        names += client.gather(client.map(where, range(40), pure=False))
    names += client.gather(client.map(where, range(number), pure=False))
    return {name: names.count(name) for name in sorted(set(names))}
"""


class Cluster:
    """A scheduler and workers whose processes may lie about their packages."""

    def __init__(
        self, start: Callable[..., Process], liar: Path, *, ours: bool, **scheduler: str | None
    ) -> None:
        self._start, self._liar = start, liar
        self._lies, self._path, self._port = scheduler, [SRC] if ours else [], free_port()
        self.address = f"tcp://127.0.0.1:{self._port}"
        self.serve()

    def serve(self) -> None:
        self.scheduler = self._dask(
            self._lies,
            self._path,
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(self._port),
            "--no-dashboard",
        )

    def worker(self, name: str, **lies: str | None) -> Process:
        return self._dask(
            lies, [SRC], "worker", self.address, "--no-nanny", "--no-dashboard", "--name", name,
            "--nthreads", "2", "--memory-limit", "0", "--death-timeout", "60",
            "--preload", "dask_flows.clusters.worker_preload",
        )  # fmt: skip

    def _dask(self, lies: dict[str, str | None], more: list[Path], *args: str) -> Process:
        path = os.pathsep.join(map(str, [self._liar, *more]))
        command = (sys.executable, "-m", "dask", *args)
        return self._start(*command, PYTHONPATH=path, LIES=json.dumps(lies))

    @contextmanager
    def client(self) -> Iterator[Client]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)
            client = Client(self.address, timeout=PATIENCE, set_as_default=False)
        with client:
            yield client

    def wait_for(self, workers: int) -> None:
        with self.client() as client:
            client.wait_for_workers(workers, PATIENCE)


@pytest.fixture
def liar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("liar")
    (folder / "sitecustomize.py").write_text(LIAR)
    return folder


@pytest.fixture
def cluster(start: Callable[..., Process], liar: Path) -> Callable[..., Cluster]:
    """Start a scheduler with packages of its own; without ``ours`` it lacks this package."""
    return lambda ours=True, **lies: Cluster(start, liar, ours=ours, **lies)


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    (tmp_path / "flow.py").write_text(FLOW)
    return tmp_path


def request(cluster: Cluster, **changes) -> Request:
    return Request(
        **{"flow": "flow.py:main", "mode": "static", "address": cluster.address, **changes}
    )


def table_of(text: str) -> list[list[str]]:
    """Return the table's cells."""
    lines = text.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("PACKAGE"))
    return [
        [cell.strip() for cell in row.split("   ") if cell.strip()][:4] for row in lines[first:-1]
    ]


def test_before_the_flow(cluster, flow, run_here):
    """What breaks Dask or is missing on workers ends the run with code 6 and a table, before "running"."""
    one = cluster(msgpack="0.6.2", numpy="2.0.0")
    one.worker("pod-0")
    one.worker("pod-1", distributed="2025.1.0", numpy=None, deny="numpy")
    one.wait_for(2)
    ran = run_here(request(one))
    ours = _versions("distributed", "msgpack", "numpy")
    assert ran.code == 6, ran.text
    assert table_of(ran.text) == [
        ["PACKAGE", "RUNNER", "SCHEDULER", "WORKERS"],
        ["distributed", *[ours["distributed"]] * 2,
         f"2025.1.0 (pod-1), {ours['distributed']} (pod-0)"],
        ["msgpack", ours["msgpack"], "0.6.2", ours["msgpack"]],
        ["numpy", ours["numpy"], "2.0.0", f"{ours['numpy']} (pod-0), missing (pod-1)"],
    ]  # fmt: skip
    last = ran.lines[-1]
    assert (
        "EnvironmentMismatch: packages do not fit between runner and cluster: distributed" in last
    )
    assert one.address in last
    assert "running" not in ran.text


def test_a_difference_is_a_warning(cluster, flow, run_here):
    """Another version of what the flow imports is one line, and fatal if strict; so is a scheduler's."""
    one = cluster(numpy=None)
    one.worker("pod-0", numpy="1.0.0")
    one.wait_for(1)
    ours = _versions("numpy")["numpy"]
    ran = run_here(request(one))
    assert ran.code == 0, ran.text
    warnings = [line for line in ran.lines if line.startswith("warning")]
    told = f"warning: numpy: runner {ours}, scheduler missing, workers 1.0.0 (pod-0) "
    assert [line[: len(told)] for line in warnings] == [told]
    ran = run_here(request(one, strict_environment=True))
    assert ran.code == 6, ran.text
    assert "EnvironmentMismatch: packages are not the same everywhere: numpy" in ran.lines[-1]


def test_a_package_of_another_name(cluster, flow, run_here):
    """What a worker can import it has, whatever its distribution is called."""
    one = cluster()
    one.worker("pod-0", numpy=None)
    one.wait_for(1)
    ran = run_here(request(one))
    assert ran.code == 0, ran.text
    assert "workers ? (pod-0)" in ran.text


def test_a_healthy_cluster(dask, flow, run_here):
    """A cluster with the runner's packages is not worth a word, however strict."""
    ran = run_here(
        Request(flow="flow.py:main", mode="static", address=dask.address, strict_environment=True)
    )
    assert ran.code == 0, ran.text
    assert "warning" not in ran.text


def test_late_workers(cluster, flow, dask_flows):
    """A worker that joins later and does not fit is named; a shared cluster keeps only those out that fit nobody.

    They are let in after the run.
    """
    one = cluster()
    one.worker("pod-0")
    one.wait_for(1)
    end = flow / "end"
    process = dask_flows("run", "flow.py:main", "--address", one.address, "-p", f"until={end}",
                         "-p", "number=200")  # fmt: skip
    process.wait_for("running")
    lies = {"pod-poor": {"numpy": None, "deny": "numpy"}, "pod-old": {"distributed": "2025.1.0"}}
    late = [one.worker(name, **lie) for name, lie in lies.items()]
    process.wait_for("worker pod-old has joined and gets no tasks while this run is on")
    process.wait_for("worker pod-poor has joined and does not fit this run, whose tasks may fail")
    eventually(lambda: all("Registered to" in "".join(worker.errors) for worker in late))
    one.worker("pod-good")
    eventually(lambda: _busy(one) >= {"pod-good", "pod-poor"})
    assert "pod-old" not in _busy(one), "on a shared cluster nobody's tasks go there"
    end.touch()
    assert process.end() == 0, process.text
    ours = _versions("numpy", "distributed")
    assert f"numpy: runner {ours['numpy']}, workers missing (pod-poor)" in process.text
    assert f"distributed: runner {ours['distributed']}, workers 2025.1.0 (pod-old)" in process.text
    counts = json.loads(next(line for line in process.lines if line.startswith("result"))[7:])
    assert {"pod-0", "pod-good"} <= set(counts) <= {"pod-0", "pod-good", "pod-poor"}
    eventually(lambda: _busy(one) >= set(lies))


@contextmanager
def be_a_run(cluster: Cluster, mode: str, said: list[str]) -> Iterator[Session]:
    """Be a run that needs numpy and names workers that join."""
    with attach(
        Wanted(mode=mode, tag="t", address=cluster.address, workers_timeout=0.5),
        deadline=Deadline(PATIENCE, CLOCK),
        clock=CLOCK,
        say=lambda *_, **__: None,
        hear=lambda *_: None,
    ) as session:
        imported = {"numpy": "numpy"}
        needs = Needs(runner=versions.installed_here(imported), imported=imported)
        session.watch_latecomers(needs, lambda text, **_: said.append(text))
        yield session


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
def test_only_workers_are_left_that_do_not_fit(cluster, mode):
    """On a shared cluster they work; on a run's own they are no workers, and it does not wait for ever."""
    one, said = cluster(), []
    good = one.worker("pod-good")
    with be_a_run(one, mode, said) as session:
        one.worker("pod-poor", numpy=None, deny="numpy")
        eventually(lambda: any("pod-poor has joined" in text for text in said))
        good.send(signal.SIGKILL)
        future = session.client.submit(pow, 2, 3, pure=False)
        if mode == "static":
            assert future.result(PATIENCE) == 8
            assert session.workers() == 1
            assert "whose tasks may fail there: numpy" in said[0]
        else:
            lost = eventually(lambda: session.lookout.ask(None)[1])
            assert isinstance(lost, WorkersLost)
            assert session.workers() == 0
            assert "gets no tasks while this run is on" in said[0]


def test_a_scheduler_that_comes_back(cluster):
    """It counts tasks, tells of its workers and names those that join, as the one before."""
    one, said = cluster(), []
    one.worker("pod-0")
    with be_a_run(one, "static", said) as session:
        one.scheduler.send(signal.SIGKILL)
        one.scheduler.end()
        eventually(lambda: session.look() is None and session.lookout.away)
        one.serve()
        eventually(lambda: session.look() is None and session.tasks() is not None)
        one.worker("pod-late", numpy=None, deny="numpy")
        eventually(lambda: any("pod-late has joined" in text for text in said))
        told = session.client.sync(session.client.scheduler.dask_flows_workers, tag="t")
        assert told["waiting"] is False
        assert session.client.submit(pow, 2, 3, pure=False).result(PATIENCE) == 8
        assert session.tasks().done == 1


def test_a_late_worker_of_a_scheduler_without_this_package(cluster, flow, dask_flows):
    """An outside scheduler cannot keep tasks from a worker; it is named all the same, and the run says so."""
    one = cluster(ours=False)
    one.worker("pod-0")
    one.wait_for(1)
    end = flow / "end"
    process = dask_flows("run", "flow.py:main", "--address", one.address, "-p", f"until={end}")
    process.wait_for("running")
    one.worker("pod-late", numpy=None, deny="numpy")
    process.wait_for("this scheduler cannot keep tasks from it")
    end.touch()
    assert process.end() == 0, process.text
    told = next(line for line in process.lines if line.startswith("warning"))
    assert told.startswith("warning: worker pod-late has joined and does not fit: numpy: runner")


def test_a_worker_that_does_not_answer(cluster, flow, monkeypatch):
    """A worker that hangs is named and holds up neither the others nor the run for long."""
    monkeypatch.setattr(versions, "ASK_SECONDS", 1.0)
    one = cluster()
    one.worker("pod-0", numpy="1.0.0")
    hanging = one.worker("pod-1")
    one.wait_for(2)
    hanging.send(signal.SIGSTOP)
    with one.client() as client:
        told = versions.ask(client, {"numpy": "numpy"})
    assert list(told.silent) == ["pod-1"]
    assert told.workers["pod-0"]["numpy"] == "1.0.0"
    assert told.scheduler["dask"] == _versions("dask")["dask"]


class Gone:
    """A client whose scheduler has gone."""

    scheduler = None

    def __init__(self, status: str) -> None:
        self.status = status

    def sync(self, *_: object, **__: object) -> None:
        raise OSError("connection lost")


@pytest.mark.parametrize("status", ["running", "connecting", "closed"])
def test_a_cluster_that_is_gone(status):
    """A client that has lost its scheduler gets no answer, and no error."""
    assert versions.ask(Gone(status), {}) == versions.Told()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import numpy", {"numpy"}),
        ("import numpy.linalg as la, pandas", {"numpy.linalg", "pandas"}),
        ("from google.cloud import storage", {"google.cloud.storage"}),
        ("def f():\n    import yaml", {"yaml"}),
        ("class A:\n    async def f(self):\n        with x:\n            import yaml", {"yaml"}),
        ("from . import beside", set()),
        ("from .beside import numpy", set()),
        ("if TYPE_CHECKING:\n    import numpy\nelse:\n    import yaml", {"yaml"}),
        ("if typing.TYPE_CHECKING:\n    import numpy", set()),
        ("try:\n    import cupy\nexcept ImportError:\n    import numpy", {"numpy"}),
        ("try:\n    import cupy\nexcept (ValueError, ModuleNotFoundError):\n    pass", set()),
        ("try:\n    import cupy\nexcept ValueError:\n    pass", {"cupy"}),
        ("try:\n    import cupy\nfinally:\n    import numpy", {"cupy", "numpy"}),
    ],
)
def test_imports_in_a_source(source, names):
    """Imports count wherever they stand, but not what a module can do without."""
    assert set(imports_in(source)) == names


@pytest.fixture
def installed(tmp_path_factory, monkeypatch):
    """Install distributions by their files alone."""
    site = tmp_path_factory.mktemp("site-packages")

    def install(name: str, *files: str, version: str = "1.0") -> None:
        for file in files:
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).write_text("")
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))

    monkeypatch.syspath_prepend(str(site))
    return install


def test_packages_that_a_flow_imports(installed, tmp_path, monkeypatch):
    """Distributions are found from the modules of the flow and of what it imports from beside it, no others."""
    installed("same-name", "same_name/__init__.py")
    installed("Other-Name", "othermodule.py")
    installed("ns-one", "nspace/one/__init__.py")
    installed("ns-two", "nspace/two.py")
    (tmp_path / "envflow.py").write_text(
        "import os, json, dask, envbeside, dask_flows\n"
        "def main():\n    import same_name, missing_everywhere\n    from nspace import two\n"
    )
    (tmp_path / "envbeside.py").write_text("import othermodule\n")
    with load("envflow.py:main", tmp_path):
        found = imported_packages("envflow", known=("dask",))
    assert found == {"same_name": "same_name", "other-name": "othermodule", "ns-two": "nspace"}


def test_a_flow_that_is_installed():
    """A flow's module that does not travel must be on the workers, so its own package is compared, too."""
    assert imported_packages("tornado.web")["tornado"] == "tornado"
    assert imported_packages("") == imported_packages("__no_such_module__")


def _busy(cluster: Cluster) -> set[str]:
    """Return the workers that take tasks of somebody else."""
    with cluster.client() as client:
        futures = client.map(lambda n: n + 1, range(40), pure=False)
        client.gather(futures)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        return {
            str(workers[address]["name"])
            for holders in client.who_has(futures).values()
            for address in holders
        }


def _versions(*packages: str) -> dict[str, str]:
    return {package: metadata.version(package) for package in packages}

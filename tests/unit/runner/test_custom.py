"""Rules of cluster classes: every kind of class works, is sized, is closed, and never holds a run up."""

import gc
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client

from dask_flows import clusters
from dask_flows.cli.run import _host
from dask_flows.clusters import Asked, Wanted, custom
from dask_flows.config import Environment
from dask_flows.deadline import Deadline, SystemClock
from dask_flows.errors import ClusterTimeout, UsageError
from dask_flows.run import Request
from dask_flows.run.asking import ask, wanted_by
from dask_flows.run.cause import cause_of
from dask_flows.run.host import Patient, PatientHost
from dask_flows.run.stopping import LAST_WORDS, Stopper

pytestmark = pytest.mark.processes


CLOCK = SystemClock()
SECONDS = 60.0

# One scheduler and one worker, in this process: quick. ``events`` tells what was called.
MODULE = '''
import asyncio, threading, time
from dask.distributed import Scheduler, Security, SpecCluster, Worker

events = []
release = threading.Event()
SCHEDULER = {"cls": Scheduler, "options": {"dashboard": False, "port": 0, "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:0"}}
WORKER = {"cls": Worker, "options": {"nthreads": 1, "dashboard": False}}

class Spec(SpecCluster):
    """Plain: started by its constructor."""
    def __init__(self, size: int = 1, asynchronous: bool = False):
        events.append("made")
        super().__init__(
            workers={n: WORKER for n in range(size)}, scheduler=SCHEDULER, worker=WORKER,
            asynchronous=asynchronous,
        )
    async def _close(self):
        await super()._close()
        events.append("closed")

class Async(Spec):
    """Always asynchronous, though nobody says so: created, but not started."""
    def __init__(self, size: int = 1):
        super().__init__(size, asynchronous=True)

class Awaitable:
    """Only to be awaited and closed."""
    def __init__(self): self.inner = None
    def __await__(self):
        async def start():
            self.inner = await Async()
            self.scheduler_address = self.inner.scheduler_address
            return self
        return start().__await__()
    async def close(self): await self.inner.close()

class Bare:
    """No context manager, only close()."""
    def __init__(self):
        self.inner = Spec()
        self.scheduler_address = self.inner.scheduler_address
    def close(self): self.inner.close()

class Lazy:
    """Starts in the context only, and gives another object."""
    def __enter__(self):
        self.inner = Spec()
        return self.inner
    def __exit__(self, *_): self.inner.close()

class AsyncContext:
    async def __aenter__(self):
        self.inner = await Async()
        return self.inner
    async def __aexit__(self, *_): await self.inner.close()

class Unadaptable(Bare): pass

class Secure(SpecCluster):
    """Speaks TLS only, as clusters of clouds do."""
    def __init__(self, pem: str):
        both = {"security": Security(
            tls_ca_file=pem, require_encryption=True,
            **{f"tls_{who}_{what}": pem for who in ("client", "scheduler", "worker")
               for what in ("key", "cert")},
        ), "protocol": "tls://"}
        super().__init__(
            scheduler={**SCHEDULER, "options": {**SCHEDULER["options"], **both}},
            workers={0: {**WORKER, "options": {**WORKER["options"], **both}}},
            security=both["security"],
        )

def factory(size: int = 1): return Spec(size)
async def async_factory(size: int = 1): return await Async(size)
async def sync_from_async(): return Spec()
class maker:
    @staticmethod
    def build(): return Spec()

class Fails:
    def __init__(self, how: str = "plain"):
        if how == "type": len(3)
        if how == "exit": raise SystemExit(0)
        raise OSError("no quota")

class FailsHalfWay(Spec):
    async def _start(self):
        await super()._start()
        events.append("half")
        raise OSError("half-way")

class FailsEntering(Bare):
    def __enter__(self): raise OSError("no entry")
    def __exit__(self, *_): self.close()

class Hangs:
    """Comes back when it is let, and is a cluster then."""
    def __new__(cls):
        events.append("hangs")
        release.wait(60)
        return Spec()

async def hangs_async():
    try:
        await asyncio.sleep(600)
    finally:
        events.append("cancelled")

class CloseHangs(Spec):
    def close(self, timeout=None):
        release.wait(60)
        return super().close(timeout)

class CloseFails(Spec):
    def close(self, timeout=None):
        super().close(timeout)
        raise OSError("no goodbye")

def nothing(): return None
class Strict:
    def __init__(self, *, size: int): ...
number = 3
'''


# For these tests only: authority, server and client in one.
PEM = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgdZKMuzqCrCY4+tHZ
GPHMGeG4pOTyUyu9Tk0t4I7SepKhRANCAAQd+YXCFrh9F/394PKkwcJ3swnIc3wX
gWi8h+qyORmnUwiVBlJg8IrZb9V8OBircJvboVd+ectWI2wqmzdOnXJJ
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIUIwQP+P6upD6u1ktzDZMAeSaObtgwCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFdGVzdHMwIBcNMjYxMTIxMDU0NTE3WhgPMjEyNjEwMjgwNTQ1
MTdaMBAxDjAMBgNVBAMMBXRlc3RzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
HfmFwha4fRf9/eDypMHCd7MJyHN8F4FovIfqsjkZp1MIlQZSYPCK2W/VfDgYq3Cb
26FXfnnLViNsKps3Tp1ySaNTMFEwHQYDVR0OBBYEFArHEtjjdOXP+N6flBy9BDEy
WGnfMB8GA1UdIwQYMBaAFArHEtjjdOXP+N6flBy9BDEyWGnfMA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgG/sppcKIw9IiQkt/y9jOzKWI+7IPzXEp
+8X5048p8wkCIQDDenNPr9g+cKv6qYzVx/JLVgRsEpiqnHs6QuHcm/ZNnQ==
-----END CERTIFICATE-----
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Put the module beside the flow, as a user would; what hangs is let go at the end."""
    (tmp_path / "own_clusters.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    with clustered("nothing"):
        found: Any = sys.modules["own_clusters"]
    yield found
    found.release.set()
    mine = [t for t in threading.enumerate() if t.name == "dask-flows-cluster"]
    for thread in mine:
        thread.join(SECONDS)
    assert not [t for t in mine if t.is_alive()]
    sys.modules.pop("own_clusters", None)


@contextmanager
def clustered(name: str, **asked: Any) -> Iterator[Wanted]:
    """Give what a command line with this class wants."""
    reference = name if ":" in name else f"own_clusters:{name}"
    request = ask(Asked(cluster_class=reference, **asked), Environment.read({}), flow="x:y")
    with wanted_by(request) as wanted:
        yield wanted


@contextmanager
def attached(
    name: str, seconds: float = SECONDS, said: list[str] | None = None, **asked: Any
) -> Iterator[Any]:
    """Make such a cluster; gives its client."""
    said = [] if said is None else said
    with (
        clustered(name, **asked) as wanted,
        clusters.attach(
            wanted,
            deadline=Deadline(seconds, CLOCK),
            clock=CLOCK,
            say=lambda text, **_: said.append(text),
            hear=lambda *_: None,
        ) as session,
    ):
        yield session.client


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("Spec", {"size": 2}),
        ("Spec", {"asynchronous": True}),
        ("Async", {}),
        ("Awaitable", {}),
        ("Bare", {}),
        ("Lazy", {}),
        ("AsyncContext", {}),
        ("factory", {"size": 2}),
        ("async_factory", {"size": 2}),
        ("sync_from_async", {}),
        ("maker.build", {}),
    ],
)
def test_every_kind_of_class_works_and_is_closed(
    module: Any, name: str, kwargs: dict[str, Any]
) -> None:
    """Classes and functions, plain and async, with a context manager or without one."""
    said: list[str] = []
    size = kwargs.get("size", 1)

    with attached(name, said=said, cluster_kwargs=kwargs, minimum_workers=size) as client:
        assert client.submit(sum, [1, 2]).result(timeout=SECONDS) == 3
        assert len(client.ncores()) == size
        assert "closed" not in module.events

    assert module.events == ["made", "closed"]
    assert said[0] == f"cluster class own_clusters:{name} (from --cluster-class)"
    assert said[1].startswith("scheduler at tcp://127.0.0.1:")


def test_dasks_own_class_by_its_name(dask_flows: Callable[..., Any], tmp_path: Path) -> None:
    """With worker processes of its own; the flow finds the cluster, and its output has no doubles."""
    (tmp_path / "flow.py").write_text(
        "from distributed import Client\n"
        "def task(x):\n    print('in task', x)\n    return x\n"
        "def main():\n    with Client() as c:\n        return sum(c.gather(c.map(task, range(3))))\n"
    )
    kwargs = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    (tmp_path / "kwargs.json").write_text(json.dumps(kwargs))

    process = dask_flows(
        "run", "flow.py:main", "--cluster-class", "distributed:LocalCluster",
        "--cluster-kwargs", "@kwargs.json",
    )  # fmt: skip

    assert process.end() == 0, process.text
    assert process.complaints == []
    assert "result 3\n" in process.lines
    assert [line for line in process.lines if "in task 1" in line] == ["[worker-0] in task 1\n"]


def test_a_cluster_with_certificates_is_found_by_the_flow_too(module: Any, tmp_path: Path) -> None:
    """A ``Client()`` without arguments has what the run's client has, as long as the run lasts."""
    pem = tmp_path / "pem"
    pem.write_text(PEM)

    with attached("Secure", cluster_kwargs={"pem": str(pem)}) as client:
        assert client.scheduler.address.startswith("tls://")
        with Client(timeout=SECONDS, set_as_default=False) as own:
            assert own.submit(sum, [1, 2]).result(timeout=SECONDS) == 3

    assert dask.config.get("distributed.comm.tls.ca-file", default=None) is None


def test_it_grows_and_shrinks_with_the_work(module: Any) -> None:
    """``--adapt 1:3`` waits for one worker, takes three when there is work for them, and goes back."""
    with attached("Spec", cluster_kwargs={"size": 0}, adapt=(1, 3)) as client:
        assert len(client.scheduler_info()["workers"]) == 1
        futures = client.map(time.sleep, [0.5] * 24, pure=False)
        client.wait_for_workers(3, timeout=SECONDS)
        client.cancel(futures, force=True)
        del futures
        end = time.monotonic() + SECONDS
        while len(client.ncores()) > 1:
            assert time.monotonic() < end
            time.sleep(0.1)


@pytest.mark.parametrize("name", ["Spec", "Async"])
def test_the_same_number_twice_is_a_size(module: Any, name: str) -> None:
    """And a plain number of workers that must be there."""
    with attached(name, adapt=(2, 2)) as client:
        assert len(client.ncores()) == 2


def test_a_flow_that_fails_has_its_cluster_closed(
    module: Any, run_here: Callable[..., Any], tmp_path: Path
) -> None:
    """So has one that is interrupted."""
    (tmp_path / "flow.py").write_text(
        "def fails(): raise ValueError('x')\ndef interrupted(): raise KeyboardInterrupt\n"
    )
    for flow, code in (("fails", 1), ("interrupted", 130)):
        module.events.clear()
        ran = run_here(
            Request(flow=f"flow.py:{flow}", mode="class", cluster_class="own_clusters:Spec")
        )
        assert ran.code == code, ran.text
        assert module.events == ["made", "closed"]


@pytest.mark.parametrize(
    ("name", "kwargs", "error", "says"),
    [
        ("Fails", {}, ClusterTimeout, ["own_clusters:Fails", "no quota"]),
        ("Fails", {"how": "exit"}, ClusterTimeout, ["SystemExit"]),
        ("Fails", {"how": "type"}, ClusterTimeout, ["own_clusters:Fails", "TypeError", "len()", "traceback"]),
        ("FailsEntering", {}, ClusterTimeout, ["no entry"]),
        ("FailsHalfWay", {}, ClusterTimeout, ["half-way"]),
        ("Strict", {}, UsageError, ["size", "--cluster-kwargs", "(*, size: int)"]),
        ("Spec", {"sice": 2}, UsageError, ["sice", "--cluster-kwargs", "size: int = 1"]),
        ("nothing", {}, UsageError, ["NoneType", "scheduler_address"]),
        ("Unadaptable", {}, UsageError, ["--adapt", "no adapt()"]),
        ("Missing", {}, UsageError, ["'Missing'", "--cluster-class"]),
        ("number", {}, UsageError, ["not callable", "--cluster-class"]),
        ("no_module:Name", {}, UsageError, ["no_module", "--cluster-class"]),
        ("distributed:LocalCluster", {"n_workers": 1, "sice": 1, "processes": False,
         "dashboard_address": "127.0.0.1:0"}, UsageError, ["sice", "--cluster-kwargs", "n_workers"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    module: Any, name: str, kwargs: dict[str, Any], error: type[Exception], says: list[str]
) -> None:
    """Wrong names and arguments are wrong use (2), with the signature; what cannot be made is 3."""
    sized = {"adapt": (1, 2)} if name == "Unadaptable" else {}
    with pytest.raises(error) as caught, attached(name, cluster_kwargs=kwargs, **sized):
        pass

    assert [word for word in says if word not in str(caught.value)] == []
    assert module.events.count("made") == module.events.count("closed")


def test_a_constructor_that_exits_is_told_of_once(
    module: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio has nothing to add when its task is collected."""
    with (
        pytest.raises(ClusterTimeout, match="SystemExit"),
        attached("Fails", cluster_kwargs={"how": "exit"}),
    ):
        pass
    gc.collect()

    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_name_without_a_colon_is_written_right() -> None:
    """As Dask's own documentation writes it."""
    request = Request(flow="x:y", mode="class", cluster_class="distributed.LocalCluster")
    with pytest.raises(UsageError, match="write distributed:LocalCluster"), wanted_by(request):
        pass


def test_a_constructor_that_hangs_costs_its_time_and_no_more(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it makes when it comes back after all is closed."""
    monkeypatch.setattr(custom, "ABANDON_SECONDS", 0.1)
    begin = time.monotonic()

    says = r"own_clusters:Hangs .* after 0.5 s"
    with pytest.raises(ClusterTimeout, match=says) as caught, attached("Hangs", seconds=0.5):
        pass

    assert time.monotonic() - begin < 20
    assert "--connect-timeout" in str(caught.value)
    assert "made" not in module.events
    module.release.set()
    end = time.monotonic() + SECONDS
    while "closed" not in module.events:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_coroutine_that_hangs_is_cancelled(module: Any) -> None:
    """So that it can clean up."""
    with pytest.raises(ClusterTimeout, match="hangs_async"), attached("hangs_async", seconds=0.5):
        pass

    assert module.events == ["cancelled"]


@pytest.mark.parametrize(
    ("name", "why"), [("CloseHangs", "more than 0.3 s"), ("CloseFails", "no goodbye")]
)
def test_a_close_that_hangs_or_fails_ends_in_a_warning(
    module: Any, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    """The flow has done its work; people must look after what is left."""
    monkeypatch.setattr(custom, "CLOSE_SECONDS", 0.3)
    said: list[str] = []

    with attached(name, said=said):
        pass

    assert said[-1].startswith(f"warning: own_clusters:{name} did not close its cluster")
    assert why in said[-1]


def test_an_interrupted_run_waits_for_its_cluster() -> None:
    """Where other runs are ended by force, one with a cluster class goes on closing."""
    ended = {Stopper: threading.Event(), Patient: threading.Event()}
    with ExitStack() as stack:
        for kind, event in ended.items():
            stopper = kind(
                lambda *_: None, exit_now=lambda _, event=event: event.set(), grace=LAST_WORDS + 0.1
            )
            stack.enter_context(stopper)
            stopper.stop(cause_of("Cancelled", "enough"))
            stopper.guard(lambda: None)
            stopper.settle()
            stopper.closing()
        assert ended[Stopper].wait(SECONDS)
        assert not ended[Patient].is_set()
    assert isinstance(_host(Request(cluster_class="a:B")), PatientHost)
    assert not isinstance(_host(Request()), PatientHost)


def test_too_few_workers_is_said(module: Any) -> None:
    """The scheduler is there; what was waited for is not."""
    says, few = "1 of 2 workers", attached("Spec", seconds=2.0, minimum_workers=2)
    with pytest.raises(ClusterTimeout, match=says), few:
        pass

    assert module.events == ["made", "closed"]


def test_options_reach_the_client(module: Any, dask: Any) -> None:
    """Of a class, of an address, and here."""
    request = ask(
        Asked(address=dask.address), Environment.read({}),
        client_kwargs={"name": "mine", "direct_to_workers": True}, flow="x:y",
    )  # fmt: skip
    with wanted_by(request) as wanted, clusters.attach(
        wanted, deadline=Deadline(SECONDS, CLOCK), clock=CLOCK, say=lambda *_, **__: None, hear=lambda *_: None
    ) as session:  # fmt: skip
        assert session.client.id.startswith("Client-mine-")
        assert session.client.direct_to_workers is True


@pytest.mark.parametrize(
    ("code", "flow"),
    [(3, "own_clusters:Hangs"), (3, "own_clusters:Fails"), (2, "own_clusters:Gone")],
)
def test_the_command_ends_in_time(
    module: Any, dask_flows: Callable[..., Any], tmp_path: Path, code: int, flow: str
) -> None:
    """With the exit code of its kind, whatever hangs."""
    (tmp_path / "flow.py").write_text("def main(): return 1\n")
    begin = time.monotonic()

    process = dask_flows("run", "flow.py:main", "--cluster-class", flow, "--connect-timeout", "1")

    assert process.end() == code, process.text
    assert time.monotonic() - begin < 40
    assert flow in process.lines[-1]

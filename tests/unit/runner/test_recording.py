"""Rules of ``--save``: every run has its report, however it ends, and no run pays for it."""

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dask import annotate
from distributed import Client, LocalCluster

from dask_flows.clusters import record as client_side
from dask_flows.clusters.recorder import NAME
from dask_flows.clusters.tags import ANNOTATION
from dask_flows.deadline import SystemClock
from dask_flows.report.masking import WITHHELD
from dask_flows.report.reading import NO_ANSWER, NO_TASKS, NOTHING
from dask_flows.run import Request, recording
from dask_flows.run.cause import cause_of
from dask_flows.run.ending import Ending, stopped, success
from dask_flows.run.recording import Recording

pytestmark = pytest.mark.processes


FLOWS = """
import os, shutil, time
from pathlib import Path
from distributed import get_client, wait

def inc(x): return x + 1
def flaky(path):
    if not Path(path).exists():
        Path(path).touch()
        raise OSError("not yet")
    return 1
def bad(x): raise ValueError(f"no <b>{x}</b>")
def block(n): return os.urandom(n)
def length(*parts): return sum(map(len, parts))
def sent(dask_scheduler):
    metrics = dask_scheduler.cumulative_worker_metrics
    return sum(v for key, v in metrics.items() if key[0] == "get-data" and key[-1] == "bytes")

def kinds(folder: str, size: int = 1000, blocks: int = 4, api_token: str = ""):
    client = get_client()
    numbers = client.map(inc, range(50), pure=False)
    blocks = client.map(block, [size] * blocks, pure=False)
    wait(blocks)
    total = client.submit(length, *blocks[:2])
    retried = client.submit(flaky, f"{folder}/flag", retries=1, pure=False)
    failed = client.map(bad, range(3), pure=False)
    wait(failed)
    arrived, end = len(blocks[0].result()), time.time() + 30
    limited = size > 1e6  # workers count bytes only if they have a limit of memory
    while limited and client.run_on_scheduler(sent) < arrived and time.time() < end:
        time.sleep(0.1)  # until a heartbeat brings the number
    return sum(client.gather(numbers)) + client.gather(retried) + total.result()

def raises(): raise ValueError("no such day")
def interrupts(): raise KeyboardInterrupt
def touches(path: str): Path(path).touch()
def spoils(folder: str):
    shutil.rmtree(folder)
    Path(folder).touch()
    return "fine"
"""
MIB = 2**20


@pytest.fixture
def here(run_here: Callable[..., Any], tmp_path: Path, dask: Any) -> Callable[..., Any]:
    """Run a flow of the file above on the shared cluster, with a report in ``out``."""
    (tmp_path / "flow.py").write_text(FLOWS)

    def make(name: str, **changes: Any) -> Any:
        known = {
            "flow": f"flow.py:{name}",
            "mode": "static",
            "address": dask.address,
            "save": Path("out"),
        }
        return run_here(Request(**{**known, **changes}))

    return make


def _told(folder: Path) -> dict[str, Any]:
    assert "<h1" in (folder / "report.html").read_text()
    told: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return told


def test_a_run_on_this_machine_has_everything_in_its_report(
    run_here: Callable[..., Any], tmp_path: Path
) -> None:
    """Tasks of all kinds, failures, retries, memory, what was spilled, and Dask's own report."""
    (tmp_path / "flow.py").write_text(FLOWS)
    parameters = {"folder": str(tmp_path), "size": 24 * MIB, "blocks": 10, "api_token": "hunter2"}
    ran = run_here(
        Request(
            flow="flow.py:kinds",
            parameters=parameters,
            workers=2,
            threads=1,
            memory="240MiB",
            show_dashboard=True,
            save=tmp_path / "out",
        )
    )
    told = _told(tmp_path / "out")

    assert ran.code == 0, ran.text
    assert ran.lines[-2].startswith("succeeded in")
    assert ran.lines[-1] == f"report {tmp_path}/out/report.html"
    names = {one["name"]: one for one in told["names"]}
    assert {name: one["count"] for name, one in names.items()} == {
        "inc": 50, "block": 10, "length": 1, "flaky": 1, "bad": 3,
    }  # fmt: skip
    assert (names["bad"]["failed"], names["flaky"]["retried"]) == (3, 1)
    assert names["block"]["resultBytes"] >= 10 * 24 * MIB
    assert told["totals"]["tasks"] == 65
    assert sum(worker["tasks"] for worker in told["workers"]) == 65
    assert [worker["name"] for worker in told["workers"]] == ["worker-0", "worker-1"]
    assert told["totals"]["peakMemoryBytes"] > 50 * MIB
    assert told["totals"]["peakSpilledBytes"] > 10 * MIB
    assert told["moved"]["sentBytes"] > 20 * MIB
    assert [phase["name"] for phase in told["phases"]] == [
        "prepare",
        "scheduler",
        "workers",
        "running",
    ]
    assert told["run"]["outcome"] == "Succeeded"
    assert told["missing"] == []
    worked = sum(sum(row) for row in told["byName"]["series"].values())
    assert worked == pytest.approx(told["totals"]["computingSeconds"], abs=0.05)
    assert any("bad` failed: ValueError" in one["text"] for one in told["findings"])
    assert "Task Stream" in (tmp_path / "out" / "dask-report.html").read_text()
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'href="dask-report.html"' in page
    assert "no &lt;b&gt;" in page
    assert "<b>0" not in page
    assert "hunter2" not in page + json.dumps(told)


def test_on_a_shared_cluster_only_the_run_s_own_tasks_count(
    here: Callable[..., Any], tmp_path: Path, dask: Any
) -> None:
    """Nothing of ours stays on the scheduler, and nobody else's tasks are drawn."""
    with Client(dask.address, set_as_default=False) as other:
        other.gather(other.map(abs, range(20), pure=False))
        assert here("kinds", parameters={"folder": str(tmp_path)}).code == 0
        plugins = other.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.plugins))
    told = _told(tmp_path / "out")

    assert told["totals"]["tasks"] == 59
    assert "abs" not in {name["name"] for name in told["names"]}
    assert NAME not in plugins
    assert not (tmp_path / "out" / "dask-report.html").exists()


@pytest.mark.parametrize(("name", "code", "reason"), [
    ("raises", 1, "FlowFailed"),
    ("interrupts", 130, "Cancelled"),
    ("nothing_like_it", 2, "BadFlow"),
])  # fmt: skip
def test_a_run_that_fails_has_a_report(
    here: Callable[..., Any], tmp_path: Path, name: str, code: int, reason: str
) -> None:
    """Also one that never came to its cluster."""
    ran = here(name)
    told = _told(tmp_path / "out")
    assert (ran.code, told["run"]["exitCode"], told["run"]["reason"]) == (code, code, reason)
    assert told["missing"] == ([NOTHING] if reason == "BadFlow" else [])
    assert ran.lines[-1].startswith("report ")


def test_a_command_has_a_report_without_its_secrets(
    here: Callable[..., Any], tmp_path: Path
) -> None:
    """Its tasks are tagged like those of a flow."""
    own = f"PYTHONPATH={Path(recording.__file__).parents[2]}"  # as in an image; else it would not know us
    code = "from distributed import Client\nwith Client() as c: c.gather(c.map(abs, range(7)))"
    ran = here("", flow=None, command=["env", own, sys.executable, "-c", code, "--token=hunter2"])
    assert ran.code == 0, ran.text
    told = _told(tmp_path / "out")
    assert told["run"]["kind"] == "command"
    assert told["totals"]["tasks"] == 7, ran.text
    assert "hunter2" not in (tmp_path / "out" / "run.json").read_text()


def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(
    here: Callable[..., Any], tmp_path: Path
) -> None:
    """With exit code 2, and what to do."""
    (tmp_path / "file").touch()
    ran = here(
        "touches", parameters={"path": str(tmp_path / "touched")}, save=tmp_path / "file" / "out"
    )
    assert ran.code == 2
    assert "the report cannot be written: Not a directory" in ran.text
    assert "name a folder that you may write to" in ran.text
    assert not (tmp_path / "touched").exists()


def test_a_report_that_cannot_be_written_at_the_end_costs_a_line(
    here: Callable[..., Any], tmp_path: Path
) -> None:
    """Never the outcome."""
    ran = here("spoils", parameters={"folder": str(tmp_path / "out")})
    assert ran.code == 0
    assert "succeeded in" in ran.text
    assert ran.lines[-1].startswith("warning: the report is not written: ")


def test_without_save_nothing_is_recorded(
    here: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked of the scheduler and nothing is written."""
    monkeypatch.setattr(client_side, "Record", None)
    ran = here("touches", parameters={"path": str(tmp_path / "touched")}, save=None)
    assert ran.code == 0, ran.text
    assert "report" not in ran.text
    assert not (tmp_path / "out").exists()


def test_a_scheduler_without_our_package_is_watched_from_outside(
    here: Callable[..., Any],
    tmp_path: Path,
    start: Callable[..., Any],
    free_port: Callable[[], int],
) -> None:
    """Workers and memory are known; the report says that tasks are not."""
    address = f"tcp://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    dask = (sys.executable, "-m", "dask")
    start(
        *dask, "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", PYTHONPATH=""
    )
    start(
        *dask, "worker", address, "--no-nanny", "--no-dashboard", "--name", "theirs", PYTHONPATH=""
    )
    ran = here("touches", parameters={"path": str(tmp_path / "x")}, address=address)
    told = _told(tmp_path / "out")

    assert ran.code == 0, ran.text
    assert told["missing"] == [NO_TASKS]
    assert [worker["name"] for worker in told["workers"]] == ["theirs"]
    assert told["totals"]["peakMemoryBytes"] > 10 * MIB
    assert told["names"] == []


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return a way to get a port that nobody listens on."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


async def remove(dask_scheduler: Any, address: str) -> None:
    """Lose a worker, as if its machine had gone."""
    await dask_scheduler.remove_worker(address=address, stimulus_id="gone")


def test_what_a_lost_worker_costs_is_known_by_name() -> None:
    """On a real scheduler: its results are made again, and the worker is named."""
    make: Any = LocalCluster
    with (
        make(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
        annotate(**{ANNOTATION: "run-1"}),
    ):
        session: Any = SimpleNamespace(
            client=client, wanted=SimpleNamespace(tag="run-1", shared=True)
        )
        source = client_side.Record(session)
        source.begin()
        futures = client.map(pow, range(20), [2] * 20)
        client.gather(futures)
        lost = cluster.workers[0]
        held = len(lost.data)
        client.run_on_scheduler(remove, address=lost.address)
        client.gather(futures)
        told = source.end()

    assert told is not None
    assert (told["names"]["pow"]["rerun"], told["names"]["pow"]["count"]) == (held, 20 + held)
    assert {one["name"]: one["rerun"] for one in told["workers"] if one["left"]} == {
        "worker-0": held
    }


RAW = {
    "now": 5.0,
    "workers": [{"name": "w", "threads": 1}],
    "samples": [[4.0, 1, 1, 0, 9, 9, 0]],
    "names": {},
}


@dataclass
class Source:
    """A scheduler that answers so many times and is gone then."""

    answers: int
    asked: list[str] = field(default_factory=list)
    page: str = "<p>theirs</p>"

    def begin(self) -> Any:
        return self._answer("begin")

    def read(self) -> Any:
        return self._answer("read")

    def end(self) -> Any:
        return self._answer("end")

    def dask_report(self, _: str) -> str:
        return self.page

    def _answer(self, step: str) -> Any:
        self.asked.append(step)
        if len(self.asked) > self.answers:
            raise OSError("it is gone")
        return {**RAW, "samples": RAW["samples"] * len(self.asked)}


@dataclass
class Lines:
    """As much of a Ui as is used here."""

    said: list[str] = field(default_factory=list)

    def say(self, text: str, **_: Any) -> None:
        self.said.append(text)


SESSION: Any = SimpleNamespace(
    wanted=SimpleNamespace(tag="run-1", mode="static", shared=True, elastic=False),
    attached=SimpleNamespace(address="tcp://x:1", dashboard=None),
)


@pytest.fixture
def recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Source], Recording]]:
    """Record a run whose scheduler is a fake; asked all the time."""
    monkeypatch.setattr(recording, "READ_SECONDS", 0.01)

    def make(source: Source) -> Recording:
        monkeypatch.setattr(client_side, "Record", lambda _: source)
        one = Recording(Request(flow="flow.py:main", save=tmp_path), SystemClock())
        one.prepare()
        return one

    return make


def test_a_lost_scheduler_leaves_what_it_has_said(
    recorded: Callable[[Source], Recording], tmp_path: Path, until: Callable[..., Any]
) -> None:
    """The report is of the last answer, and says so."""
    source, ui = Source(answers=4), Lines()
    one = recorded(source)
    with one.on(SESSION):
        until(lambda: len(source.asked) > 5)
        one.save(Ending("Failed", "SchedulerLost", "it is gone", 4), ui)  # type: ignore[arg-type]
    told = _told(tmp_path)
    assert told["missing"] == [NO_ANSWER]
    assert len(told["samples"]) == 4
    assert ui.said == [f"report {tmp_path}/report.html"]
    assert not (tmp_path / "dask-report.html").exists()


@pytest.mark.parametrize(("key", "kept"), [("load-1", True), ("load-db://bob:s3cr3tpw@x", False)])
def test_the_page_of_dask_is_left_out_if_it_shows_a_secret(
    recorded: Callable[[Source], Recording], tmp_path: Path, key: str, kept: bool
) -> None:
    """It cannot be masked: nobody knows what its code does with the data. The report says so."""
    page = f'<script type="application/json">{json.dumps({"key": [key]})}</script>'
    one = recorded(Source(answers=99, page=page))
    (tmp_path / "dask-report.html").write_text("of another run")
    with one.on(SESSION):
        one.save(Ending("Failed", message=f"no {key}", traceback=key, result={"a": key}), Lines())  # type: ignore[arg-type]
    files = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert _told(tmp_path)["missing"] == ([] if kept else [WITHHELD])
    assert ("dask-report.html" in files) is kept
    assert ('href="dask-report.html"' in files["report.html"]) is kept
    assert "s3cr3tpw" not in "".join(files.values())


def test_a_run_ended_by_force_asks_nobody(
    recorded: Callable[[Source], Recording], tmp_path: Path
) -> None:
    """Its time is short; and there is only one report of a run."""
    source, ui = Source(answers=1), Lines()
    one = recorded(source)
    with one.on(SESSION):
        one.abandon(stopped(cause_of("DeadlineExceeded", "too long")), ui)  # type: ignore[arg-type]
        one.save(success(None), ui)  # type: ignore[arg-type]
    assert "end" not in source.asked
    assert _told(tmp_path)["run"]["reason"] == "DeadlineExceeded"
    assert len(ui.said) == 1


def test_data_that_cannot_be_read_is_no_reason_to_fail(
    recorded: Callable[[Source], Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheduler with another version of this package may say anything."""
    ui = Lines()
    one = recorded(Source(answers=99))
    monkeypatch.setitem(RAW, "workers", [{"unknown": 1}])
    with one.on(SESSION):
        one.save(success(None), ui)  # type: ignore[arg-type]
    assert ui.said[0].startswith("warning: the report is not written: TypeError")


@pytest.fixture
def until() -> Callable[..., Any]:
    """Return a wait with a bound."""

    def wait(check: Callable[[], Any], seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.01)

    return wait

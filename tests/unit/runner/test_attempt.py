"""Rules of an attempt: leave before any user code, progress, the agent's word, the outcome."""

import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dask_flows.config import Environment, load_attempt
from dask_flows.outcome import Outcome
from dask_flows.run import of_attempt
from dask_flows.run.ending import Ending
from dask_flows.run.report import Reporter

FLOW = """
import sys, time
from pathlib import Path
Path("imported").touch()
def main(n: int = 1):
    print("running it")
    return {"n": n}
def sleeps():
    try:
        Path("sleeping").touch()
        time.sleep(300)
    finally: print("last words")
"""
POD = {"DASK_FLOWS_POD_UID": "pod-uid", "DASK_FLOWS_POD_NAME": "pod-name"}


@pytest.fixture
def run(
    run_here: Callable[..., Any], attempt: Callable[..., Path], tmp_path: Path, dask: Any
) -> Callable[..., Any]:
    """Do what the agent's Job does."""
    (tmp_path / "flow.py").write_text(FLOW)

    def make(parameters: dict[str, Any] | None = None, **changes: Any) -> Any:
        folder = attempt(parameters, **{"address": dask.address, **changes})
        return run_here(of_attempt(load_attempt(folder), mode="static", debug=False), **POD)

    return make


def test_the_outcome_is_reported_once_with_its_times(run: Callable[..., Any], agent: Any) -> None:
    """Who, what, when; the agent knows it before the process has ended."""
    assert run({"n": 5}).code == 0

    (record,) = agent.bodies("finish")
    assert {k: record[k] for k in ("dask-flows", "uid", "attempt", "podUid", "outcome")} == {
        "dask-flows": 1,
        "uid": "uid-1",
        "attempt": 1,
        "podUid": "pod-uid",
        "outcome": "Succeeded",
    }
    assert record["result"] == {"n": 5}
    assert record["workers"] == 2
    assert sorted(record["times"]) == ["finish", "running", "start"]


def test_leave_comes_before_any_user_code(
    run: Callable[..., Any], agent: Any, tmp_path: Path
) -> None:
    """A second pod of the attempt exits 96, imports nothing, and reports nothing that would count."""
    agent.answer = lambda verb, _: (
        (409, {"message": "another pod"}) if verb == "start" else (200, {})
    )

    process = run()

    assert process.code == 96
    assert not (tmp_path / "imported").exists()
    assert "another pod" in process.text


def test_the_agent_may_be_late(run: Callable[..., Any], agent: Any) -> None:
    """Within the start deadline."""
    tries: list[str] = []

    def answer(verb: str, _: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        tries.append(verb)
        return (503 if len(tries) < 4 else 200), {"deadlineSeconds": None, "stop": None}

    agent.answer = answer

    assert run().code == 0
    assert tries[:4] == ["start"] * 4


def test_an_agent_that_is_away_does_not_fail_a_run(run: Callable[..., Any], agent: Any) -> None:
    """Beats fail, the flow goes on."""
    agent.answer = lambda verb, _: (503 if verb == "beat" else 200, {})

    assert run().code == 0


def asleep(_: dict[str, Any]) -> bool:
    """Whether the flow is where only its ``finally`` can speak; it says "running" a little earlier."""
    return Path("sleeping").exists()


def beats_until(
    reason: str, phase: str = "running", when: Callable[[dict[str, Any]], bool] = asleep
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Answer beats of this phase with a stop."""

    def answer(verb: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if verb == "beat" and body["phase"] == phase and when(body):
            return 200, {"stop": {"reason": reason, "message": "because"}}
        time.sleep(0.05)
        return 200, {"stop": None, "deadlineSeconds": None}

    return answer


@pytest.mark.parametrize(
    ("reason", "code", "outcome"),
    [
        ("Cancelled", 143, "Cancelled"),
        ("DeadlineExceeded", 5, "Failed"),
        ("SchedulerLost", 4, "Failed"),
    ],
)
def test_the_agents_word_stops_the_flow(
    run: Callable[..., Any], agent: Any, reason: str, code: int, outcome: str
) -> None:
    """Its finally blocks run; the record carries the agent's reason."""
    agent.answer = beats_until(reason)

    process = run(flow="flow.py:sleeps")

    assert process.code == code
    assert "last words" in process.text
    (record,) = agent.bodies("finish")
    assert (record["outcome"], record["reason"], record["message"]) == (outcome, reason, "because")
    assert record["exitCode"] == code


# The signal may land inside the constructor of an event loop, which then leaves its sockets to the collector.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*(BaseEventLoop|socket):pytest.PytestUnraisableExceptionWarning"
)
def test_a_cancel_while_workers_are_awaited(run: Callable[..., Any], agent: Any) -> None:
    """The same, and no flow runs."""
    agent.answer = beats_until("Cancelled", "cluster", lambda beat: beat["workers"] == 2)

    process = run(minimumWorkers=50)

    assert process.code == 143
    assert "running it" not in process.text
    assert agent.bodies("finish")[0]["outcome"] == "Cancelled"


def test_the_deadline_comes_from_the_agent_and_may_change(
    run: Callable[..., Any], agent: Any
) -> None:
    """With any answer to a beat."""

    def answer(verb: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        time.sleep(0.05)
        running = verb == "beat" and body["phase"] == "running"
        return 200, {"stop": None, "deadlineSeconds": 1 if running else 600}

    agent.answer = answer

    process = run(flow="flow.py:sleeps")

    assert process.code == 5
    (record,) = agent.bodies("finish")
    assert (record["reason"], record["outcome"]) == ("DeadlineExceeded", "Failed")


def test_beats_tell_phase_workers_and_tasks(run: Callable[..., Any], agent: Any) -> None:
    """At once when the flow begins, although the agent holds the last beat."""
    told: list[dict[str, Any]] = []

    def answer(verb: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if verb == "beat" and body["waitSeconds"]:
            time.sleep(0.5 if told else 0.01)
        elif verb == "beat":
            told.append(body)
        stop = {"reason": "Cancelled", "message": "enough"} if told and asleep(body) else None
        return 200, {"stop": stop, "deadlineSeconds": None}

    agent.answer = answer

    assert run(flow="flow.py:sleeps").code == 143
    assert told[0]["phase"] == "running"
    assert told[0]["workers"] == 2
    assert told[0]["podUid"] == "pod-uid"
    assert told[0]["message"] == "running flow.py:sleeps"
    assert told[0]["scaling"] is None


@pytest.mark.parametrize(
    ("changes", "reason", "code"),
    [
        ({"flow": "flow.py:nothing"}, "BadFlow", 2),
        ({"flow": "nothing.py:main"}, "BadFlow", 2),
        ({"parameters": {"m": 1}}, "BadParameters", 2),
        ({"address": "tcp://127.0.0.1:9", "startDeadlineSeconds": 1}, "ClusterTimeout", 3),
        ({"flow": None, "command": ["false"]}, "FlowFailed", 1),
        ({"flow": None, "command": ["no-such-program-here"]}, "BadFlow", 2),
    ],
)
def test_each_failure_reports_its_reason(
    run: Callable[..., Any], agent: Any, changes: dict[str, Any], reason: str, code: int
) -> None:
    """Before and after the cluster is there."""
    parameters = changes.pop("parameters", None) if "parameters" in changes else None

    assert run(parameters, **changes).code == code

    (record,) = agent.bodies("finish")
    assert (record["outcome"], record["reason"], record["exitCode"]) == ("Failed", reason, code)
    assert record["message"]


def test_a_zip_source_is_unpacked(run: Callable[..., Any], agent: Any, tmp_path: Path) -> None:
    """A large flow travels so."""
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as zipped:
        zipped.writestr("jobs/deep.py", "from jobs.value import N\ndef main(): return N\n")
        zipped.writestr("jobs/value.py", "N = 7\n")

    assert run(flow="jobs.deep:main", source=None, sourceZip=str(tmp_path / "s.zip")).code == 0

    assert agent.bodies("finish")[0]["result"] == 7


def test_the_address_of_the_environment_is_ignored_with_a_warning(
    run_here: Callable[..., Any], attempt: Callable[..., Path], tmp_path: Path, dask: Any
) -> None:
    """The agent gives the cluster."""
    (tmp_path / "flow.py").write_text(FLOW)
    request = of_attempt(load_attempt(attempt(address=dask.address)), mode="static", debug=False)

    ran = run_here(request, DASK_SCHEDULER_ADDRESS="tcp://x:1", **POD)

    assert ran.code == 0
    assert "DASK_SCHEDULER_ADDRESS of the run is ignored" in ran.text
    assert f"cluster static at {dask.address}" in ran.text


def test_the_record_is_also_the_termination_message(
    tmp_path: Path, attempt: Callable[..., Path], agent: Any
) -> None:
    """An agent that is away finds it there; the kubelet has made the file."""
    log = tmp_path / "termination-log"
    log.touch()
    spec = load_attempt(attempt())
    reporter = Reporter(spec, None, Environment(pod_uid="p"), termination_log=log)

    reporter.deliver(Ending("Failed", "FlowFailed", "x" * 10_000, 1), workers=2)
    reporter.deliver(Ending("Succeeded"))

    record = Outcome.parse(log.read_text())
    assert record is not None
    assert (record.outcome, record.reason, record.workers) == ("Failed", "FlowFailed", 2)
    assert len(log.read_bytes()) <= 4096


def test_without_the_kubelets_file_nothing_is_written(
    tmp_path: Path, attempt: Callable[..., Path]
) -> None:
    """A laptop's /dev stays as it is."""
    log = tmp_path / "termination-log"

    Reporter(load_attempt(attempt()), None, Environment(), termination_log=log).deliver(
        Ending("Succeeded")
    )

    assert not log.exists()


STRANGE = """
class Bad:
    def __repr__(self): raise RuntimeError("no text")
class Worse:
    def __repr__(self): raise KeyboardInterrupt
def deep():
    nested = []
    for _ in range(100_000): nested = [nested]
    return nested
def huge(): return 10 ** 5000
def half(): return {"a": chr(0xD800)}
def bad(): return Bad()
def worse(): return [Worse()]
"""


@pytest.mark.parametrize("name", ["deep", "huge", "half", "bad", "worse"])
def test_a_result_that_cannot_be_written_loses_no_outcome(
    run: Callable[..., Any], agent: Any, tmp_path: Path, name: str
) -> None:
    """The work is done: it is recorded, delivered and said, without the result."""
    (tmp_path / "strange.py").write_text(STRANGE)

    ran = run(flow=f"strange.py:{name}")

    (record,) = agent.bodies("finish")
    assert (ran.code, record["outcome"]) == (0, "Succeeded")
    assert "result" not in record
    assert "warning: the result is not kept" in ran.text
    assert ran.lines[-1].startswith("succeeded in")


def test_a_flow_that_interrupts_itself(run: Callable[..., Any], agent: Any, tmp_path: Path) -> None:
    """Nobody sent a signal: the code is Python's own, and the message says who did it."""
    (tmp_path / "strange.py").write_text("def main(): raise KeyboardInterrupt")

    ran = run(flow="strange.py:main")

    assert ran.code == 130
    assert ran.lines[-1].endswith("Cancelled: the flow raised KeyboardInterrupt")

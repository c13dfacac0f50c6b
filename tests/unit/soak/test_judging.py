"""What a soak calls wrong: a table of small worlds, each with one broken rule."""

import json
from pathlib import Path
from typing import Any

import pytest

from soak import counter, judging
from soak.counter import Start
from soak.load import KINDS, flow_run, number_of
from soak.many import PARTS
from soak.schedule import KINDS as SCHEDULED
from soak.schedule import PLAYS


def run(name: str, phase: str, reason: str = "", **status: Any) -> dict[str, Any]:
    """Return a FlowRun that ended so."""
    status = {"phase": phase, "reason": reason, "attempt": 1, "startedBy": "p1", **status}
    return {"metadata": {"name": name, "uid": f"u-{name}"}, "status": status}


def ended(name: str, *, asked: str = "", hurt: str = "", **status: Any) -> list[str]:
    """Judge the end of one run."""
    kind = name.partition("-")[2]
    asked_of = {name: {asked}} if asked else {}
    hurt_by = {name: [hurt]} if hurt else {}
    return judging.endings({name: run(name, **status)}, {name: kind}, asked_of, hurt_by)


GOOD = {
    "as it should": {"name": "r0003-succeed", "phase": "Succeeded", "result": 9},
    "cancelled when asked": {
        "name": "r0003-succeed", "asked": "cancel", "phase": "Cancelled", "reason": "Cancelled",
    },
    "cancelled too late": {
        "name": "r0003-succeed", "asked": "cancel", "phase": "Succeeded", "result": 9,
    },
    "disturbed": {
        "name": "r0003-long", "hurt": "kill runner", "phase": "Failed", "reason": "FlowFailed",
    },
    "disturbed, and yet": {
        "name": "r0003-long", "hurt": "kill worker", "phase": "Succeeded", "result": 9,
    },
}  # fmt: skip
BAD = {
    "failed for nothing": {"name": "r0003-succeed", "phase": "Failed", "reason": "RunnerDeleted"},
    "cancelled by nobody": {
        "name": "r0003-succeed", "hurt": "kill", "phase": "Cancelled", "reason": "Cancelled",
    },
    "succeeded instead": {"name": "r0003-fail", "phase": "Succeeded", "result": 9},
    "another result": {"name": "r0003-succeed", "phase": "Succeeded", "result": 8},
    "no result": {"name": "r0003-succeed", "phase": "Succeeded"},
    "a reason no fault explains": {
        "name": "r0003-long", "hurt": "kill", "phase": "Failed", "reason": "BadFlow",
    },
    "hanging, and not cancelled": {
        "name": "r0003-hang", "asked": "cancel", "phase": "Failed", "reason": "FlowFailed",
    },
}  # fmt: skip


@pytest.mark.parametrize("case", GOOD)
def test_ends_that_are_right(case: str) -> None:
    """A fault excuses only what it can cause."""
    assert ended(**GOOD[case]) == []


@pytest.mark.parametrize("case", BAD)
def test_ends_that_are_wrong(case: str) -> None:
    """Each is one line that names the run."""
    (line,) = ended(**BAD[case])

    assert BAD[case]["name"] in line


def start(attempt: int, at: float, last: float | None, pod: str = "p1") -> Start:
    """Return a start of the run ``r``."""
    return Start("u-r", attempt, "r", pod, at, last)


ONE = start(1, 10, 20)
STARTS = {
    "one": ([ONE], run("r", "Succeeded"), 0),
    "one that failed before its start": ([], run("r", "Failed"), 0),
    "two attempts": ([ONE, start(2, 21, 30)], run("r", "Succeeded", attempt=2), 0),
    "twice": ([ONE, start(1, 30, 40, "p2")], run("r", "Succeeded"), 1),
    "succeeded without": ([], run("r", "Succeeded"), 1),
    "at the same time": ([ONE, start(2, 15, 30)], run("r", "Succeeded", attempt=2), 1),
    "after a later one": (
        [start(2, 5, 6), start(1, 7, 8)], run("r", "Succeeded", attempt=2), 1,
    ),
    "of an attempt to come": ([ONE, start(2, 21, 30)], run("r", "Failed"), 1),
    "by another pod": ([start(1, 10, 20, "p9")], run("r", "Succeeded"), 1),
    "still alive": ([start(1, 10, None)], run("r", "Failed"), 1),
}  # fmt: skip


@pytest.mark.parametrize("case", STARTS)
def test_starts(case: str) -> None:
    """At most one per attempt, exactly one where it succeeded, never two attempts alive."""
    seen, ending, count = STARTS[case]

    found = judging.starts([ending], seen)

    assert len(found) == count, found


def test_a_run_that_is_gone() -> None:
    """Only who was removed may be missing, and a namesake is not the same run."""
    created = {name: run(name, "Pending") for name in ("kept", "removed", "lost", "other")}
    other = run("other", "Succeeded")
    other["metadata"]["uid"] = "u-new"

    found = judging.lost(
        {"kept": created["kept"], "other": other}, created, {"removed": {"remove"}}
    )

    assert len(found) == 2
    assert "lost is gone" in found[0]
    assert "other has another UID" in found[1]


def test_unrest_is_named() -> None:
    """A run is at rest when it is over and cleaned up."""
    cleaned = {"conditions": [{"type": "CleanedUp", "status": "True"}]}
    runs = [run("a", "Succeeded", **cleaned), run("b", "Failed"), run("c", "Running", **cleaned)]

    assert judging.unrest(runs) == ["b is not cleaned up", "c is Running/"]


@pytest.mark.parametrize(("seconds", "wrong"), [(0.0, 0), (33.2, 0), (60.0, 0), (60.1, 1)])
def test_an_agent_that_is_long_in_coming_back_is_wrong(seconds: float, wrong: int) -> None:
    """A minute after the last blow it is there."""
    assert len(judging.slow(seconds)) == wrong


def test_a_traceback_of_an_agent_is_found(tmp_path: Path) -> None:
    """An agent may be killed, but nothing may go wrong in it that it does not know."""
    (tmp_path / "x-agent-1.agent.0.log").write_text(
        "ready\nerror\nTraceback (most recent call last):\n"
    )
    (tmp_path / "x-agent-2.agent.0.log").write_text("ready\n")
    (tmp_path / "r.runner.0.log").write_text("Traceback (most recent call last):\n")

    (line,) = judging.tracebacks(tmp_path)

    assert "x-agent-1.agent.0.log" in line
    assert "after: error" in line


def test_the_log_of_the_counter_is_read_back() -> None:
    """Two starts of one pod are two, and a start without an end is alive."""
    about = {"uid": "u", "attempt": 1, "run": "r", "pod": "p"}
    events = [("start", 1.0), ("start", 2.0), ("end", 3.0)]
    log = "\n".join(json.dumps({"event": e, "at": at, **about}) for e, at in events)

    first, second = counter.parse(log)

    assert (first.at, first.last, second.at, second.last) == (1.0, 3.0, 2.0, None)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_flow_that_python_reads(kind: str) -> None:
    """A typing error in a flow would look like a fault of the product."""
    body = flow_run(f"r0012-{kind}", kind, "local", "10.0.0.1", 7000)

    compile(body["spec"]["source"]["files"][0]["content"], "flow.py", "exec")
    assert number_of(body["metadata"]["name"]) == 12
    assert kind in SCHEDULED
    assert set(SCHEDULED) == set(KINDS)


def test_every_played_kind_has_its_part() -> None:
    """What the schedule asks for can be played."""
    assert set(PLAYS) == set(PARTS)


def test_the_counter_is_a_program_that_python_reads() -> None:
    """It runs in a pod, where nobody sees its traceback."""
    compile(counter.PROGRAM, "counter.py", "exec")

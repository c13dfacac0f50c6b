"""A run has felt what struck the agent or the control plane while it was alive, and nothing else."""

from datetime import UTC, datetime
from typing import Any

import pytest

from soak.strikes import Strike, begins, felt


def at(second: float) -> float:
    """Return a moment of the wall clock."""
    return datetime(2026, 1, 1, tzinfo=UTC).timestamp() + second


def text(second: int) -> str:
    """Return the same as Kubernetes writes it."""
    return datetime.fromtimestamp(at(second), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def run(uid: str, created: int, cleaned: int | None = None) -> dict[str, Any]:
    """Return a FlowRun that was cleaned up at some second, or never."""
    conditions = [{"type": "Finished", "status": "True", "lastTransitionTime": text(created)}]
    if cleaned is not None:
        conditions.append(
            {"type": "CleanedUp", "status": "True", "lastTransitionTime": text(cleaned)}
        )
    return {
        "metadata": {"uid": uid, "creationTimestamp": text(created)},
        "status": {"conditions": conditions},
    }


STRIKES = {
    "before": (5.0, 9.9, 0),
    "until its begin": (5.0, 10.0, 1),
    "within": (12.0, 13.0, 1),
    "all its life": (5.0, 30.0, 1),
    "in the second of its end": (20.9, 25.0, 1),
    "after": (21.1, 25.0, 0),
}


@pytest.mark.parametrize(("begin", "end", "count"), STRIKES.values(), ids=STRIKES)
def test_a_strike_counts_if_it_meets_the_run_s_life(begin: float, end: float, count: int) -> None:
    """From its creation to its cleaning up, of which only the second is known."""
    strikes = [Strike("agent", at(begin), at(end))]

    assert felt([run("u", 10, 20)], strikes) == {"u": count}


def test_each_run_has_its_own_strikes() -> None:
    """One that was never cleaned up lives on; one that nobody has touched has no status."""
    strikes = [Strike("agent", at(second), at(second)) for second in (1, 15, 16, 40)]
    bare = {"metadata": {"uid": "new", "creationTimestamp": text(30)}}

    assert felt([run("old", 0, 5), run("u", 10, 20), run("open", 10), bare], strikes) == {
        "old": 1, "u": 2, "open": 3, "new": 1,
    }  # fmt: skip
    assert felt([run("u", 10, 20)], []) == {"u": 0}


def test_an_agent_is_seen_to_begin_though_it_has_ended() -> None:
    """The one before is in the same status; what has never begun has no beginning."""
    running = {"running": {"startedAt": text(7)}}
    ended = {"terminated": {"containerID": "c0", "startedAt": text(3)}}
    statuses = [
        {"containerID": "c1", "state": running, "lastState": ended},
        {"state": {"waiting": {"reason": "CrashLoopBackOff"}}},
        {"state": {"terminated": {"startedAt": None}}},
        {"containerID": "c2", "state": ended | {}},
    ]

    assert list(begins(statuses)) == [("c1", at(7)), ("c0", at(3)), ("c0", at(3))]

"""How long an agent takes to be back, which agents there were, and how much memory they took."""

from typing import Any

import pytest

from kube import Kube
from soak import watching
from soak.watching import Memory, Readiness

KUBE = Kube("http://127.0.0.1:1", "ns")
ONE, TWO = "a" * 64, "b" * 64


def pod(created: int, container: str, *, ready: bool, **last: Any) -> dict[str, Any]:
    """Return an agent's pod."""
    state = {"running": {"startedAt": f"2026-01-01T00:00:{created:02}Z"}}
    status = {"containerID": f"containerd://{container}", "ready": ready, "state": state, **last}
    meta = {"uid": f"u{created}", "creationTimestamp": f"2026-01-01T00:00:{created:02}Z"}
    return {"metadata": meta, "status": {"containerStatuses": [status]}}


def watched(*times: tuple[float, bool]) -> Readiness:
    """Return a watch that has seen the agent become ready and not ready."""
    ready = Readiness(KUBE)
    ready.times = [(0.0, True), *times]
    return ready


LOST, BACK = (10.0, False), (30.0, True)
RECOVERIES: dict[str, tuple[list[tuple[float, bool]], list[float], float]] = {
    "always there": ([], [5.0], 0.0),
    "lost by a blow": ([LOST, BACK], [9.0], 20.0),
    "seen late": ([LOST, BACK], [12.0], 18.0),
    "struck again on its way": ([LOST, BACK], [9.0, 15.0, 22.0], 8.0),
    "a blow to come": ([LOST, BACK], [9.0, 31.0], 20.0),
    "without a blow": ([LOST, BACK], [], 20.0),
    "long after the last blow": ([(300.0, False), (302.0, True)], [9.0], 2.0),
    "the longest": ([LOST, BACK, (40.0, False), (65.0, True)], [9.0, 39.0], 25.0),
    "not back": ([LOST], [9.0], 0.0),  # who waits for it at the end says so
}


@pytest.mark.parametrize(("times", "blows", "longest"), RECOVERIES.values(), ids=RECOVERIES)
def test_a_recovery_begins_with_the_loss_or_the_last_blow(
    times: list[tuple[float, bool]], blows: list[float], longest: float
) -> None:
    """Whichever came later."""
    assert watched(*times).longest_recovery(blows) == longest


def test_a_pod_whose_end_nobody_saw_is_no_agent() -> None:
    """An outage may hide it: the newest pod says whether there is an agent, and what ends later is old."""
    ready = Readiness(KUBE)
    ready.see("ADDED", pod(1, ONE, ready=True))
    ready.see("ADDED", pod(2, TWO, ready=False))
    assert [one for _, one in ready.times] == [True, False]
    assert ready.container == TWO

    ready.see("MODIFIED", pod(2, TWO, ready=True))
    ready.see("DELETED", pod(1, ONE, ready=True))
    assert [one for _, one in ready.times] == [True, False, True]
    assert ready.container == TWO

    ready.see("DELETED", pod(2, TWO, ready=True))
    assert [one for _, one in ready.times] == [True, False, True, False]
    assert ready.container == ""


def test_each_agent_is_known_by_its_container() -> None:
    """Once, however often it is seen; and the one before it, which a watch may have missed."""
    ready = Readiness(KUBE)
    ended = {"terminated": {"containerID": "c0", "startedAt": "2026-01-01T00:00:00Z"}}
    for _ in range(2):
        ready.see("MODIFIED", pod(5, ONE, ready=True, lastState=ended))

    assert {key: moment - ready.begun["c0"] for key, moment in ready.begun.items()} == {
        f"containerd://{ONE}": 5.0, "c0": 0.0,
    }  # fmt: skip


def test_the_most_memory_of_all_agents_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of one that is gone; between two there is none, and one that has just ended has no figure."""
    figures = {ONE: 90.0, TWO: 80.0, "ended": None}
    monkeypatch.setattr(watching, "peak_mib", figures.__getitem__)
    there = iter([ONE, "", "ended", TWO])
    memory = Memory(lambda: next(there))
    for _ in range(4):
        memory.work()

    assert memory.peak == 90.0
    assert not any("never read" in line for line in memory.broken)


def test_memory_that_was_never_read_is_said() -> None:
    """Nothing would be taken for little."""
    memory = Memory(lambda: "")
    memory.work()

    assert "memory of the agent was never read" in memory.broken

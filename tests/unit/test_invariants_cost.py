"""What a run and an agent may cost: of a plain run each write is known, of others the most that is right."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from invariants.cost import allowed_writes
from invariants.evidence import Agent, Evidence
from invariants.rules import broken

UID = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"
POD = {"startedBy": "pod-1"}
CLEANED = [{"type": "CleanedUp", "status": "True"}]
UNREACHABLE = [{"type": "NodeUnreachable", "status": "True"}]
BLOCKED = [{"type": "Blocked", "status": "True"}]
STOPPING = [{"type": "Stopping", "status": "True"}]
WAITS = {"phase": "Pending", "reason": "Queued", "message": "3 runs are before it"}


def state(phase: str, **more: Any) -> dict[str, Any]:
    """Return a status in the first attempt."""
    record = {"attempt": 1} | ({} if phase in ("Starting", "Running") else {"finishTime": "t"})
    return {"attempt": 1, "phase": phase, "mode": "static", "attempts": [record]} | more


def plain(writes: int = 8, *, mode: str = "static") -> Evidence:
    """Return what a run leaves that nothing has kept from its success."""
    end = state("Succeeded", **POD)
    steps = [state("Starting"), state("Starting", **POD), state("Running", **POD), end]
    statuses = [{}, *({**one, "mode": mode} for one in (*steps, {**end, "conditions": CLEANED}))]
    meta = {"name": "diamond", "uid": UID}
    return Evidence(
        runs=[{"metadata": meta, "status": statuses[-1]}],
        statuses={UID: statuses},
        writes=Counter({UID: writes}),
    )


def say(index: int, **more: Any) -> Callable[[Evidence], None]:
    """Let a write come after a status that only adds this to it."""

    def change(evidence: Evidence) -> None:
        of_run = evidence.statuses[UID] if evidence.statuses else []
        of_run.insert(index + 1, {**of_run[index], **more})

    return change


@pytest.mark.parametrize("mode", ["static", "local"])
@pytest.mark.parametrize(("writes", "right"), [(8, True), (9, False)])
def test_a_plain_run_costs_eight_writes(mode: str, writes: int, right: bool) -> None:
    """Not one more."""
    found = broken(plain(writes, mode=mode))

    assert found == ([] if right else ["I5 diamond cost 9 writes, at most 8 are right"])


NEWS: dict[str, Callable[[Evidence], Any]] = {
    "waits": say(0, **WAITS),
    "starts slowly": say(1, reason="ImagePullBackOff", message="no such image"),
    "runs slowly": say(3, message="the scheduler is busy"),
    "node": say(3, conditions=UNREACHABLE),
    "workers": say(3, workers=2),
    "blocked": say(4, conditions=BLOCKED),
    "resumed": lambda e: (say(0, **WAITS)(e), say(1)(e)),
}


@pytest.mark.parametrize("news", NEWS.values(), ids=NEWS)
def test_each_write_that_says_why_is_one_more(news: Callable[[Evidence], Any]) -> None:
    """As its status shows it: nine are right then, and ten are not."""
    evidence = plain(9)
    news(evidence)
    assert broken(evidence) == []

    evidence.writes = Counter({UID: 10})
    assert broken(evidence) == ["I5 diamond cost 10 writes, at most 9 are right"]


NO_NEWS: dict[str, Callable[[Evidence], None]] = {
    "another wrote the spec": say(2),
    "at its end": say(4, message="late"),
    "cleaned up twice": say(5, conditions=[*CLEANED, {"type": "Blocked", "status": "False"}]),
    "a second start": say(2, startedBy="pod-2"),
    "a second mode": say(1, mode="local"),
}


@pytest.mark.parametrize("change", NO_NEWS.values(), ids=NO_NEWS)
def test_what_tells_the_user_nothing_is_not_paid_for(change: Callable[[Evidence], None]) -> None:
    """Each status is one that a plain run has, or one that no run may have."""
    evidence = plain()
    change(evidence)

    assert allowed_writes(evidence, evidence.runs[0]) == 8


def ended(**more: Any) -> Callable[[Evidence], None]:
    """Let the run have ended in another way."""
    return lambda e: e.runs[0]["status"].update(more)


NOT_PLAIN: dict[str, tuple[Callable[[Evidence], Any], int]] = {
    "failed": (ended(phase="Failed"), 14),
    "cancelled": (ended(phase="Cancelled"), 14),
    "never began": (ended(phase="Cancelled", attempt=0), 6),
    "two attempts": (ended(attempt=2), 22),
    "ephemeral": (ended(mode="ephemeral", attempts=[{"mode": "ephemeral", "workers": 2}]), 34),
    "stopped": (say(3, conditions=STOPPING), 14),
    "agent killed": (lambda e: setattr(e, "restarts", 2), 26),
    "hit": (lambda e: setattr(e, "faults", {UID: 1}), 20),
    "killed and hit": (lambda e: (setattr(e, "restarts", 1), setattr(e, "faults", {UID: 1})), 26),
    "older than the agent": (lambda e: setattr(e, "handed_over", frozenset({UID})), 14),
    "a gap": (lambda e: e.gaps.add((UID, 2)), 14),
    "no statuses": (lambda e: e.statuses.clear(), 14),
}  # fmt: skip


@pytest.mark.parametrize(("change", "most"), NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_is_not_plain_has_its_own_bound(change: Callable[[Evidence], Any], most: int) -> None:
    """By its attempts, its workers, and what hit it."""
    evidence = plain()
    change(evidence)

    assert allowed_writes(evidence, evidence.runs[0]) == most


@pytest.mark.parametrize("other", ["faults", "handed_over", "gaps"])
def test_what_befell_another_run_excuses_nothing(other: str) -> None:
    """It is counted by run."""
    evidence = plain(9)
    theirs = {"faults": {"other": 3}, "handed_over": frozenset({"other"}), "gaps": {("other", 1)}}
    setattr(evidence, other, theirs[other])

    assert broken(evidence) == ["I5 diamond cost 9 writes, at most 8 are right"]


def test_news_without_end_are_too_many() -> None:
    """Each write changes the status, and yet no run needs so many."""
    evidence = plain(15)
    for number in range(20):
        say(0, **{**WAITS, "message": f"{number} are before it"})(evidence)

    assert broken(evidence) == ["I5 diamond cost 15 writes, at most 14 are right"]


TRACEBACK = "Traceback (most recent call last):\n  File\nValueError\n"
AGENTS: dict[str, tuple[Agent, list[str]]] = {
    "quiet": (Agent("a", "ready\n", 200.0), []),
    "not measured": (Agent("a"), []),
    "traceback": (
        Agent("a", f"ready\nstep failed\n{TRACEBACK}more\n{TRACEBACK}"),
        ["I5 2 tracebacks of a, the first after: step failed"],
    ),
    "traceback at once": (Agent("a", TRACEBACK), ["I5 1 tracebacks of a, the first after: "]),
    "memory": (Agent("a", "", 200.6), ["I5 a took 201 MiB, at most 200 are right"]),
}  # fmt: skip


@pytest.mark.parametrize(("agent", "wrong"), AGENTS.values(), ids=AGENTS)
def test_an_agent_is_judged_by_its_log_and_its_memory(agent: Agent, wrong: list[str]) -> None:
    """What is not known of it breaks no rule."""
    assert broken(Evidence(agents=[Agent("other"), agent])) == wrong

"""Every verb at every phase: cancel, suspend and both deadlines, at each moment of a run's life.

``TABLE`` holds what the documents promise: how the run stands after the verb, how it stands in the end
when suspend is false again, and why its attempts ended. For every row holds: no attempt starts twice or
after its end is decided, and nothing is left but the Jobs of attempts that have a log.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from dask_flows.kube.resources import FLOWRUNS, PODS
from fakes.phases import (
    BEAT,
    START_DEADLINE,
    Play,
    Verb,
    cancel,
    deadline,
    play_to,
    start_deadline,
    suspend,
)
from fakes.stage import Stage

pytestmark = pytest.mark.looptime

# "=" is the same as before. The attempts are those of the end: [one] has a log and never had leave to
# start, (one) never had a process, so that its Job goes.
TABLE = """
phase        verb           then                          in the end      attempts
unclaimed    cancel         Cancelled/Cancelled           =               -
unclaimed    suspend        Suspended                     Succeeded       Succeeded
unclaimed    deadline       Succeeded                     =               Succeeded
unclaimed    startDeadline  Succeeded                     =               Succeeded
queued       cancel         Cancelled/Cancelled           =               -
queued       suspend        Suspended                     Succeeded       Succeeded
queued       deadline       Pending/Queued                Succeeded       Succeeded
queued       startDeadline  Pending/Queued                Succeeded       Succeeded
unscheduled  cancel         Cancelled/Cancelled           =               (Cancelled)
unscheduled  suspend        Suspended                     Succeeded       (Suspended),Succeeded
unscheduled  deadline       Failed/DeadlineExceeded       =               (DeadlineExceeded)
unscheduled  startDeadline  Failed/StartDeadlineExceeded  =               (StartDeadlineExceeded)
begun        cancel         Cancelled/Cancelled           =               [Cancelled]
begun        suspend        Suspended                     Succeeded       [Suspended],Succeeded
begun        deadline       Failed/DeadlineExceeded       =               [DeadlineExceeded]
begun        startDeadline  Failed/StartDeadlineExceeded  =               [StartDeadlineExceeded]
leave        cancel         Cancelled/Cancelled           =               Cancelled
leave        suspend        Suspended                     Succeeded       Suspended,Succeeded
leave        deadline       Failed/DeadlineExceeded       =               DeadlineExceeded
leave        startDeadline  Failed/StartDeadlineExceeded  =               StartDeadlineExceeded
running      cancel         Cancelled/Cancelled           =               Cancelled
running      suspend        Suspended                     Succeeded       Suspended,Succeeded
running      deadline       Failed/DeadlineExceeded       =               DeadlineExceeded
running      startDeadline  Succeeded                     =               Succeeded
cancelling   suspend        Cancelled/Cancelled           =               Cancelled
cancelling   deadline       Cancelled/Cancelled           =               Cancelled
suspending   cancel         Cancelled/Cancelled           =               Suspended
suspending   deadline       Failed/DeadlineExceeded       =               Suspended
overdue      cancel         Failed/DeadlineExceeded       =               DeadlineExceeded
overdue      suspend        Failed/DeadlineExceeded       =               DeadlineExceeded
losing       cancel         Cancelled/Cancelled           =               SchedulerLost
losing       suspend        Suspended                     Succeeded       SchedulerLost,Succeeded
losing       deadline       Failed/DeadlineExceeded       =               SchedulerLost
dying        cancel         Cancelled/Cancelled           =               FlowFailed
dying        suspend        Suspended                     Succeeded       FlowFailed,Succeeded
dying        deadline       Failed/DeadlineExceeded       =               FlowFailed
dying        startDeadline  Pending/FlowFailed            Succeeded       FlowFailed,Succeeded
waiting      cancel         Cancelled/Cancelled           =               FlowFailed
waiting      suspend        Suspended                     Succeeded       FlowFailed,Succeeded
waiting      deadline       Failed/DeadlineExceeded       =               FlowFailed
waiting      startDeadline  Pending/FlowFailed            Succeeded       FlowFailed,Succeeded
requeued     cancel         Cancelled/Cancelled           =               FlowFailed
requeued     suspend        Suspended                     Succeeded       FlowFailed,Succeeded
requeued     deadline       Failed/DeadlineExceeded       =               FlowFailed
requeued     startDeadline  Pending/Queued                Succeeded       FlowFailed,Succeeded
paused       cancel         Cancelled/Cancelled           =               Suspended
paused       suspend        Suspended                     Succeeded       Suspended,Succeeded
paused       deadline       Failed/DeadlineExceeded       =               Suspended
paused       startDeadline  Suspended                     Succeeded       Suspended,Succeeded
held         cancel         Cancelled/Cancelled           =               -
held         suspend        Suspended                     Succeeded       Succeeded
held         deadline       Suspended                     Succeeded       Succeeded
held         startDeadline  Suspended                     Succeeded       Succeeded
"""
VERBS: dict[str, Verb] = {
    "cancel": cancel,
    "suspend": suspend,
    "deadline": deadline,
    "startDeadline": start_deadline,
}
WITH_PROCESS = {"begun", "leave", "running", "cancelling", "suspending", "overdue", "losing"}
BACKOFF = 90  # seconds; a verb has long been heard by then
SETTLED = 15.0  # seconds after which nothing more follows from a verb, if all hear


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    phase: str
    verb: str
    then: str
    in_the_end: str
    attempts: tuple[str, ...]

    @classmethod
    def parse(cls, line: str) -> "Row":
        """Read a line."""
        phase, verb, then, last, told = line.split()
        attempts = () if told == "-" else tuple(told.split(","))
        return cls(phase, verb, then, then if last == "=" else last, attempts)

    @property
    def spec(self) -> dict[str, Any]:
        """What the run's spec has from the beginning."""
        # No budget pays for what comes after a suspension.
        retries = {"limit": self.attempts.count("FlowFailed"), "backoffSeconds": BACKOFF}
        first = {"startDeadlineSeconds": START_DEADLINE} if self.verb == "startDeadline" else {}
        return {"retries": retries, **first}


ROWS = [Row.parse(line) for line in TABLE.strip().splitlines()[1:]]


def cells(*, deaf: bool) -> list[Any]:
    """Return row and mode of every test; a deaf runner only where one is to be stopped."""
    return [
        pytest.param(row, mode, id=f"{row.phase}-{row.verb}-{mode}")
        for row in ROWS
        for mode in ("static", "ephemeral")
        if mode == "ephemeral" or row.phase != "losing"  # a shared scheduler is no run's own
        if not deaf or (row.phase in WITH_PROCESS and row.then != "Succeeded")
    ]


async def say(row: Row, play: Play) -> None:
    """Say the verb, or let the time pass; then everybody goes on."""
    await VERBS[row.verb](play.stage)
    if row.phase == "unclaimed":
        await play.stage.restart()
    play.open()
    await asyncio.sleep(SETTLED)


async def resume(row: Row, play: Play) -> None:
    """Take away whatever holds the run back, and wait for its end."""
    stage = play.stage
    stage.nodes.start_after = 0.8
    stage.edit(suspend=False)
    if row.phase in ("queued", "requeued"):
        stage.api.remove(FLOWRUNS, "ns", "other")
    await stage.until(lambda: stage.condition("Finished"), 120)
    await stage.cleaned()
    await asyncio.sleep(20)  # whoever wants to start something more does it now


def check_end(row: Row, stage: Stage) -> None:
    """Compare the run, and what is left of it, with the row."""
    assert stage.phase() == row.in_the_end
    assert not stage.condition("Stopping")
    told = stage.status().get("attempts") or []
    assert [a["reason"] for a in told] == [reason.strip("[()]") for reason in row.attempts]
    jobs = [a["jobName"] for a in told]
    assert [job for job in stage.jobs() if "other" not in job] == jobs
    logs = [job for job, how in zip(jobs, row.attempts, strict=True) if not how.startswith("(")]
    left = [name.rsplit("-", 1)[0] if name.startswith("pods/") else name for name in stage.left()]
    assert left == [f"{kind}/{job}" for kind in ("jobs", "pods") for job in logs]


def check_starts(row: Row, stage: Stage) -> None:
    """Exactly the attempts without brackets have ever had leave to start, each for one pod."""
    seen = [
        change.event.object.get("status") or {}
        for change in stage.api.store.history
        if change.resource is FLOWRUNS and change.event.object["metadata"]["name"] == "diamond"
    ]
    starts = {(s["attempt"], s["startedBy"]) for s in seen if s.get("startedBy")}
    assert sorted(attempt for attempt, _ in starts) == [
        number for number, how in enumerate(row.attempts, 1) if how[0] not in "[("
    ]


def was_ended_by_kubernetes(stage: Stage) -> bool:
    """Tell whether the first attempt's runner was given a deadline."""
    first = next(pod for pod in stage.api.names(PODS) if pod.startswith(stage.jobs()[0]))
    return bool(stage.api.read(PODS, first)["spec"].get("activeDeadlineSeconds") == 1)


@pytest.mark.parametrize(("row", "mode"), cells(deaf=False))
async def test_a_verb_does_what_is_promised(row: Row, mode: str) -> None:
    """Runners that hear a stop end with the record that a real one makes."""
    async with play_to(row.phase, mode, **row.spec) as play:
        await say(row, play)
        assert play.stage.phase() == row.then
        await resume(row, play)
        check_end(row, play.stage)
        check_starts(row, play.stage)


@pytest.mark.parametrize(("row", "mode"), cells(deaf=True))
async def test_a_deaf_runner_changes_nothing_about_it(row: Row, mode: str) -> None:
    """Kubernetes ends it, and attempt and run end as if it had heard."""
    async with play_to(row.phase, mode, **row.spec) as play:
        play.deaf = True
        if play.ears.is_set():
            await asyncio.sleep(BEAT)  # it may be in the middle of one
        await say(row, play)
        await play.stage.cleaned()
        assert play.stage.phase() == row.then
        assert was_ended_by_kubernetes(play.stage)
        await resume(row, play)
        check_end(row, play.stage)
        check_starts(row, play.stage)

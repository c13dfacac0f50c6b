"""What to do next for a run: a pure function of what is seen, and the table of phases.

``decide`` looks at the state of the world, never at events, so it can be asked at any time, twice, or
after a restart, and gives the same answer. One answer is one step; carrying it out changes what is seen.
"""

from dataclasses import dataclass
from datetime import datetime

from dask_flows.agent.observed import Observed
from dask_flows.agent.verdict import (
    Ending,
    cancelled_in_time,
    ending_of,
    intended,
    lost_scheduler,
    why_waiting,
)
from dask_flows.deadline import parse_timestamp
from dask_flows.diagnose import Diagnosis
from dask_flows.flowrun import (
    CANCELLED,
    CLAIMED,
    FAILED,
    PENDING,
    RUNNING,
    STARTING,
    SUCCEEDED,
    SUSPENDED,
)

# Every change of phase there is. Terminal phases lead nowhere.
TRANSITIONS: dict[str, frozenset[str]] = {
    PENDING: frozenset({SUSPENDED, STARTING, CANCELLED, FAILED}),
    SUSPENDED: frozenset({PENDING, STARTING, CANCELLED, FAILED}),
    STARTING: frozenset({RUNNING, SUCCEEDED, FAILED, CANCELLED}),
    RUNNING: frozenset({SUCCEEDED, FAILED, CANCELLED}),
    SUCCEEDED: frozenset(),
    FAILED: frozenset(),
    CANCELLED: frozenset(),
}

STOP_GRACE = 10.0  # from the wish to stop until the pod is told by Kubernetes
START_GRACE = 30.0  # a started runner measures its own start deadline, and knows more
PROBE_AFTER = 3.0  # a Job without a pod for this long is asked why
PROBE_EVERY = 15.0
WORKERS_EVERY = 5.0  # least pause between two writes of the worker count


@dataclass(frozen=True)
class Wait:
    """Do nothing until something changes, or ``seconds`` have passed."""

    seconds: float | None = None


@dataclass(frozen=True)
class Hold:
    """Show why an unclaimed run does not start."""

    phase: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Claim:
    """Write phase Starting and the attempt's number: the first step of an attempt."""


@dataclass(frozen=True)
class Begin:
    """Make the attempt's objects, the Job last."""


@dataclass(frozen=True)
class Probe:
    """Ask the API server why the Job has no pod."""


@dataclass(frozen=True)
class Report:
    """Show what keeps the attempt from running, or that nothing does any more."""

    diagnosis: Diagnosis | None


@dataclass(frozen=True)
class Progress:
    """Write what the runner's beats say: it runs, on so many workers."""

    running: bool
    workers: int | None


@dataclass(frozen=True)
class Stop:
    """Record the intent to end the attempt; its runner hears it with the next beat."""

    reason: str
    message: str


@dataclass(frozen=True)
class Escalate:
    """Let Kubernetes end the runner's pod, since it did not end by itself."""


@dataclass(frozen=True)
class End:
    """Record how the attempt ended."""

    ending: Ending


@dataclass(frozen=True)
class Clean:
    """Remove what the attempt leaves behind, except its finished Job."""


Step = (
    Wait | Hold | Claim | Begin | Probe | Report | Progress | Stop | Escalate | End | Clean
)  # fmt: skip


def decide(seen: Observed, now: datetime) -> Step:
    """Return the next step for a run; ``now`` in UTC."""
    if seen.run.terminal:
        return Wait() if seen.cleaned_up else Clean()
    return _claimed(seen, now) if seen.run.phase in CLAIMED else _before(seen)


def _claimed(seen: Observed, now: datetime) -> Step:
    if cancelled_in_time(seen):  # first: its pod, refused leave, may have ended by now
        return End(intended("Cancelled", "cancelled by spec.cancel"))
    if (ending := ending_of(seen)) is not None:
        return End(ending)
    if seen.stopping is not None:
        return _stopping(seen, now)
    if (stop := _wanted_stop(seen, now)) is not None:
        # Without leave to start nothing has run: the record is the fence against a late start.
        return stop if seen.started_by else End(intended(stop.reason, stop.message))
    return _onward(seen, now)


def _before(seen: Observed) -> Step:
    if seen.invalid:
        return End(Ending(FAILED, "InvalidSpec", seen.invalid))
    if seen.run.spec.cancel:
        return End(intended("Cancelled", "cancelled before it started"))
    if seen.run.spec.suspend:
        held = Hold(SUSPENDED, "", "suspended: set spec.suspend to false to start it")
        return Wait() if seen.run.phase == SUSPENDED else held
    return Claim()


def _stopping(seen: Observed, now: datetime) -> Step:
    assert seen.stopping is not None
    left = STOP_GRACE - _age(str(seen.stopping.get("lastTransitionTime") or ""), now)
    if left > 0:
        return Wait(left)
    runner = seen.runner
    told = runner is None or runner.active_deadline == 1
    left_over = any(not pod.deleting for pod in seen.dask)
    return Escalate() if left_over or not told else Wait(PROBE_EVERY)


def _wanted_stop(seen: Observed, now: datetime) -> Stop | None:
    name = seen.run.name
    if seen.run.spec.cancel:
        return Stop("Cancelled", "cancelled by spec.cancel")
    if _left_to_run(seen, now) <= 0:
        do = "raise spec.deadlineSeconds, or make the work smaller"
        return Stop("DeadlineExceeded", f"it took longer than {seen.deadline} s (run {name}): {do}")
    if (lost := lost_scheduler(seen)) is not None:
        return Stop(lost.reason, lost.message)
    if seen.started_by and seen.job is None:
        return Stop("JobDeleted", "somebody deleted its Job: create a new FlowRun")
    return _late_start(seen, now) if seen.starting else None


def _late_start(seen: Observed, now: datetime) -> Stop | None:
    why = why_waiting(seen)
    if why is not None and (why.final or _left_to_start(seen, now) <= 0):
        return Stop(why.reason, why.message)
    if _left_to_start(seen, now) + (START_GRACE if seen.started_by else 0) <= 0:
        what = f"it did not run within {seen.start_deadline} s (run {seen.run.name})"
        do = "see kubectl describe for its pods, or raise spec.startDeadlineSeconds"
        return Stop("StartDeadlineExceeded", f"{what}: {do}")
    return None


def _onward(seen: Observed, now: datetime) -> Step:
    if not seen.begun:
        return Begin()
    if (progress := _progress(seen, now)) is not None:
        return progress
    if seen.starting:
        why = why_waiting(seen)
        if (why.reason if why else "") != (seen.run.status.get("reason") or ""):
            return Report(why)
        if _probe_due(seen, now):
            return Probe()
    return Wait(_next_look(seen, now))


def _progress(seen: Observed, now: datetime) -> Progress | None:
    beat = seen.beat
    if beat is None:
        return None
    begins = beat.phase == "running" and seen.starting
    counted = beat.workers is not None and beat.workers != seen.workers_shown
    rested = seen.workers_written is None or now.timestamp() >= seen.workers_written + WORKERS_EVERY
    return Progress(begins, beat.workers) if begins or (counted and rested) else None


def _probe_due(seen: Observed, now: datetime) -> bool:
    if seen.job is None or seen.runners or seen.started_by or seen.job.finished:
        return False
    if seen.probed_at is not None:
        return now.timestamp() >= seen.probed_at + PROBE_EVERY
    return _age(seen.job.created, now) >= PROBE_AFTER


def _next_look(seen: Observed, now: datetime) -> float | None:
    looks = [_left_to_run(seen, now)]
    if seen.starting:
        looks.append(_left_to_start(seen, now) + (START_GRACE if seen.started_by else 0))
        if seen.job is not None and not seen.runners and not seen.started_by:
            looks.append(PROBE_AFTER)
    if seen.beat is not None and seen.beat.workers not in (None, seen.workers_shown):
        looks.append(WORKERS_EVERY)
    soonest = min(looks)
    return None if soonest == float("inf") else max(0.1, soonest)


def _left_to_start(seen: Observed, now: datetime) -> float:
    return seen.start_deadline - _age(str(seen.run.status.get("startTime") or ""), now)


def _left_to_run(seen: Observed, now: datetime) -> float:
    # From the claim, as spec.deadlineSeconds is documented; the runner's own clock starts later.
    if seen.deadline is None:
        return float("inf")
    return seen.deadline - _age(str(seen.run.status.get("startTime") or ""), now)


def _age(since: str, now: datetime) -> float:
    try:
        return (now - parse_timestamp(since)).total_seconds()
    except ValueError:
        return 0.0

"""What to do next for a run: a pure function of what is seen, and the table of phases.

``decide`` looks at the state of the world, never at events, so it can be asked at any time, twice, or
after a restart, and gives the same answer. One answer is one step; carrying it out changes what is seen.
"""

from collections.abc import Mapping
from datetime import datetime
from math import inf
from typing import Any

from dask_flows.agent.acts import (
    Begin,
    Claim,
    Clean,
    End,
    Escalate,
    Flag,
    Hold,
    Probe,
    Progress,
    Report,
    Step,
    Stop,
    Wait,
)
from dask_flows.agent.conditions import CLEANED_UP, NODE_UNREACHABLE, condition
from dask_flows.agent.observed import Observed
from dask_flows.agent.timing import (
    age,
    left_to_run,
    left_to_start,
    too_late,
    until_retry,
)
from dask_flows.agent.unreachable import unreachable
from dask_flows.agent.verdict import (
    Ending,
    cancelled_in_time,
    ending_of,
    intended,
    lost_scheduler,
    why_waiting,
)
from dask_flows.flowrun import (
    CANCELLED,
    CLAIMED,
    FAILED,
    PENDING,
    RUNNING,
    STARTING,
    SUCCEEDED,
    SUSPENDED,
    FlowRun,
)

# Every change of phase there is. Terminal phases lead nowhere.
TRANSITIONS: dict[str, frozenset[str]] = {
    PENDING: frozenset({SUSPENDED, STARTING, CANCELLED, FAILED}),
    SUSPENDED: frozenset({PENDING, CANCELLED, FAILED}),
    STARTING: frozenset({RUNNING, PENDING, SUSPENDED, SUCCEEDED, FAILED, CANCELLED}),
    RUNNING: frozenset({PENDING, SUSPENDED, SUCCEEDED, FAILED, CANCELLED}),
    SUCCEEDED: frozenset(),
    FAILED: frozenset(),
    CANCELLED: frozenset(),
}

RAISE_DEADLINE = "raise spec.deadlineSeconds, or make the work smaller"
STOP_GRACE = 10.0  # from the wish to stop until the pod is told by Kubernetes
START_GRACE = 30.0  # a started runner measures its own start deadline, and knows more
PROBE_AFTER = 3.0  # a Job without a pod for this long is asked why
PROBE_EVERY = 15.0
WORKERS_EVERY = 5.0  # least pause between two writes of the worker count


def refusal(run: FlowRun, patch: Mapping[str, Any]) -> str:
    """Say why a write to status must not be made; empty for one that may."""
    phase = patch.get("phase", run.phase)
    if phase != run.phase and phase not in TRANSITIONS[run.phase]:
        return f"{run.phase} must not become {phase}"
    if run.terminal and set(patch) - {"conditions"}:
        return "it is over, and only its conditions may change"
    number = patch.get("attempt", run.attempt)
    if number != run.attempt and (number != run.attempt + 1 or phase != STARTING):
        return f"attempt {run.attempt} must not be followed by attempt {number} in phase {phase}"
    if number != run.attempt and run.attempt and condition(run, CLEANED_UP) is None:
        return f"attempt {number} must not begin before attempt {run.attempt} is cleaned up"
    return ""


def decide(seen: Observed, now: datetime) -> Step:
    """Return the next step for a run; ``now`` in UTC."""
    if seen.run.terminal:
        return Wait() if seen.cleaned_up else Clean()
    return _claimed(seen, now) if seen.run.phase in CLAIMED else _unclaimed(seen, now)


def rests_on_absence(step: Step, seen: Observed) -> bool:
    """Tell whether an attempt is to end while something of it is missing, which an old copy may lack."""
    if not isinstance(step, End | Stop) or seen.run.phase not in CLAIMED or not seen.begun:
        return False
    own_cluster = seen.plan is not None and seen.plan.mode == "ephemeral"
    return None in (seen.job, seen.runner) or (own_cluster and seen.scheduler is None)


def _claimed(seen: Observed, now: datetime) -> Step:
    if cancelled_in_time(seen):  # first: its pod, refused leave, may have ended by now
        return End(intended("Cancelled", "cancelled by spec.cancel"))
    if (ending := ending_of(seen)) is not None:
        return End(ending)
    if (flag := _flag(seen, now)) is not None:
        return flag
    if seen.stopping is not None:
        return _stopping(seen, now)
    if (stop := _wanted_stop(seen, now)) is not None:
        # Without leave to start nothing has run: the record is the fence against a late start.
        return stop if seen.started_by else End(intended(stop.reason, stop.message))
    return _onward(seen, now)


def _unclaimed(seen: Observed, now: datetime) -> Step:
    run = seen.run
    if seen.invalid:
        return End(Ending(FAILED, "InvalidSpec", seen.invalid))
    if run.spec.cancel:
        when = f"after attempt {run.attempt}" if run.between else "before it started"
        return End(intended("Cancelled", f"cancelled {when}"))
    if run.between and too_late(run, seen.deadline, now):
        what = f"attempt {run.attempt + 1} cannot begin within the run's {seen.deadline} s"
        return End(intended("DeadlineExceeded", f"{what}: {RAISE_DEADLINE}"))
    if run.spec.suspend != (run.phase == SUSPENDED):
        return _held(seen)
    if run.between and not seen.cleaned_up:
        return _flag(seen, now) or Clean()
    return _claim(seen, now)


def _held(seen: Observed) -> Hold:
    number = seen.run.attempt + 1
    if seen.run.spec.suspend:
        do = f"set spec.suspend to false to start {'it' if number == 1 else f'attempt {number}'}"
        return Hold(SUSPENDED, "", f"suspended: {do}")
    return Hold(PENDING, "", f"attempt {number} follows" if number > 1 else "")


def _claim(seen: Observed, now: datetime) -> Wait | Claim:
    left = left_to_run(seen.run, seen.deadline, now) if seen.run.between else inf
    if seen.run.phase != SUSPENDED:
        left = min(left, until_retry(seen.run, now))
    if left <= 0:
        return Claim()
    return Wait() if left == inf else Wait(left)


def _stopping(seen: Observed, now: datetime) -> Step:
    assert seen.stopping is not None
    left = STOP_GRACE - age(seen.stopping.get("lastTransitionTime"), now)
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
    if left_to_run(seen.run, seen.deadline, now) <= 0:
        what = f"it took longer than {seen.deadline} s (run {name})"
        return Stop("DeadlineExceeded", f"{what}: {RAISE_DEADLINE}")
    if seen.run.spec.suspend:
        return Stop("Suspended", "suspended by spec.suspend")
    if (lost := lost_scheduler(seen)) is not None:
        return Stop(lost.reason, lost.message)
    if seen.started_by and seen.job is None:
        return Stop("JobDeleted", "somebody deleted its Job: create a new FlowRun")
    return _late_start(seen, now) if seen.starting else None


def _late_start(seen: Observed, now: datetime) -> Stop | None:
    why = why_waiting(seen)
    if why is not None and (why.final or left_to_start(seen, now) <= 0):
        return Stop(why.reason, why.message)
    if left_to_start(seen, now) + (START_GRACE if seen.started_by else 0) <= 0:
        what = f"it did not run within {seen.start_deadline} s (run {seen.run.name})"
        do = "see kubectl describe for its pods, or raise spec.startDeadlineSeconds"
        return Stop("StartDeadlineExceeded", f"{what}: {do}")
    return None


def _flag(seen: Observed, now: datetime) -> Flag | None:
    """Compare the condition with what the pods say: of the runner, then of all that is to go."""
    pods = (*seen.runners, *seen.dask) if seen.run.between else seen.runners
    found, shown = unreachable(pods, now), condition(seen.run, NODE_UNREACHABLE)
    # A pod that is gone takes nothing back: how its attempt ended is told by the condition.
    return None if not pods or (found is None) == (shown is None) else Flag(found)


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
    if seen.job is None or seen.runners or seen.started_by or seen.job.finished or seen.told:
        return False
    if seen.probed_at is not None:
        return now.timestamp() >= seen.probed_at + PROBE_EVERY
    return age(seen.job.created, now) >= PROBE_AFTER


def _next_look(seen: Observed, now: datetime) -> float | None:
    looks = [left_to_run(seen.run, seen.deadline, now)]
    if any(pod.deleting and not pod.ended for pod in seen.runners):
        looks.append(
            PROBE_EVERY
        )  # a node that does not answer is only known by what it does not do
    if seen.starting:
        looks.append(left_to_start(seen, now) + (START_GRACE if seen.started_by else 0))
        if seen.job is not None and not seen.runners and not seen.started_by:
            looks.append(PROBE_AFTER)
    if seen.beat is not None and seen.beat.workers not in (None, seen.workers_shown):
        looks.append(WORKERS_EVERY)
    soonest = min(looks)
    return None if soonest == inf else max(0.1, soonest)

"""How much time a run and its attempts have left; seconds, infinite without a limit.

``deadlineSeconds`` counts over the whole run, from its first claim, through every pause between attempts.
``startDeadlineSeconds`` counts anew for each attempt.
"""

from datetime import datetime, timedelta
from math import inf

from dask_flows.agent.observed import Observed
from dask_flows.deadline import parse_timestamp
from dask_flows.flowrun import FlowRun


def age(since: object, now: datetime) -> float:
    """Return the seconds since a time in status; 0 for one that is not there."""
    try:
        return (now - parse_timestamp(str(since or ""))).total_seconds()
    except ValueError:
        return 0.0


def began(run: FlowRun) -> object:
    """Return when the present attempt was claimed."""
    return run.last.get("startTime") or run.status.get("startTime")


def ended(run: FlowRun) -> object:
    """Return when the run, or the attempt it has recorded last, was over."""
    return run.status.get("finishTime") or run.last.get("finishTime")


def left_to_start(seen: Observed, now: datetime) -> float:
    """Return how long the attempt may still take until its flow runs."""
    return seen.start_deadline - age(began(seen.run), now)


def left_to_run(run: FlowRun, deadline: int | None, now: datetime) -> float:
    """Return how long the run may still take; the runner's own clock starts later than ours."""
    return inf if deadline is None else deadline - age(run.status.get("startTime"), now)


def left_for_attempt(run: FlowRun, deadline: int | None) -> int | None:
    """Return what a run's deadline leaves its present attempt, from that attempt's claim on."""
    if deadline is None:
        return None
    try:
        before = age(run.status.get("startTime"), parse_timestamp(str(began(run))))
    except ValueError:
        before = 0.0
    return max(1, deadline - int(before))


def until_retry(run: FlowRun, now: datetime) -> float:
    """Return the seconds until the next attempt may begin; not positive if it may."""
    return -age(run.status.get("retryTime"), now)


def too_late(run: FlowRun, deadline: int | None, now: datetime) -> bool:
    """Whether the next attempt cannot begin before the run's deadline."""
    begins = now + timedelta(seconds=max(0.0, until_retry(run, now)))
    return left_to_run(run, deadline, begins) <= 0

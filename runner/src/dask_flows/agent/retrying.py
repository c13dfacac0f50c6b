"""Whether an attempt that failed is followed by another, and when: a pure decision.

Two budgets, counted apart: what the flow does wrong, and what the platform does to it. A failure that
another attempt would only repeat is in neither. How often each has been used is in status, because the
list of attempts there is cut.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from dask_flows.retries import Budget

INFRASTRUCTURE = frozenset(
    {"NodeLost", "Evicted", "Preempted", "SchedulerLost", "WorkersLost", "RunnerDeleted"}
)
FINAL = frozenset(
    {
        "BadFlow",
        "BadParameters",
        "Cancelled",
        "DeadlineExceeded",
        "EnvironmentMismatch",
        "Forbidden",
        "ImagePull",
        "InvalidSpec",
        "JobDeleted",
        "QuotaExceeded",
        "StartDeadlineExceeded",
        "Unschedulable",
    }
)
UNPAID = frozenset({"Suspended", "Succeeded"})
LONGEST = 3600.0  # seconds between two attempts
JITTER = 0.1  # of the pause, up or down: attempts that fell together do not return together

Random = Callable[[], float]  # from 0 to 1


@dataclass(frozen=True)
class Used:
    """How many new attempts each budget has paid for."""

    limit: int = 0
    infrastructure: int = 0

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> "Used":
        """Read the counters of a FlowRun's status.

        The recorded attempts are counted, too: an API server with an older schema drops the counters, and
        nothing must be tried for ever because of that.
        """
        counted = status.get("retries") or {}
        told = [str(a["reason"]) for a in status.get("attempts") or [] if a.get("reason")]
        lost = sum(reason in INFRASTRUCTURE for reason in told)
        failed = sum(reason not in INFRASTRUCTURE | FINAL | UNPAID for reason in told)
        return cls(
            max(int(counted.get("limit") or 0), failed),
            max(int(counted.get("infrastructure") or 0), lost),
        )


@dataclass(frozen=True)
class Retry:
    """Another attempt follows, not before ``at``; ``used`` includes it."""

    at: datetime
    used: Used


def next_attempt(
    reason: str, used: Used, budget: Budget, now: datetime, random: Random
) -> Retry | None:
    """Return when the next attempt may begin; None if this failure was the last."""
    if reason in FINAL:
        return None
    if reason in INFRASTRUCTURE:
        count, most = used.infrastructure, budget.infrastructure
        after = replace(used, infrastructure=count + 1)
    else:
        count, most = used.limit, budget.limit
        after = replace(used, limit=count + 1)
    if count >= most:
        return None
    return Retry(now + timedelta(seconds=pause(budget.backoff, count, random)), after)


def pause(backoff: int, count: int, random: Random) -> float:
    """Return the seconds to wait after ``count`` earlier retries: doubled each time, up to an hour."""
    plain = min(float(backoff * 2**count), LONGEST)
    return min(plain * (1 + JITTER * (2 * random() - 1)), LONGEST)

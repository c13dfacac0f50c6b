"""Conditions of a FlowRun: what else is to say beside its phase. All are pure functions."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from dask_flows.deadline import timestamp
from dask_flows.flowrun import FlowRun

STOPPING = "Stopping"  # somebody or something wants the attempt to end; names why
FINISHED = "Finished"  # the run is over, whatever its end
CLEANED_UP = "CleanedUp"  # and nothing is left of it but its Job
BLOCKED = "Blocked"  # something keeps the agent from cleaning up
NODE_UNREACHABLE = "NodeUnreachable"  # a pod of the attempt may live on a node that does not answer
SETTINGS_IGNORED = "SettingsIgnored"  # fields of the spec have no effect

Condition = Mapping[str, Any]


def condition(run: FlowRun, kind: str) -> Condition | None:
    """Return a condition of the run if it is True."""
    return condition_in(run.status.get("conditions") or [], kind)


def condition_in(conditions: Iterable[Any], kind: str) -> Condition | None:
    """Return one of these conditions if it is True."""
    for found in conditions:
        if found.get("type") == kind and found.get("status") == "True":
            return found if isinstance(found, Mapping) else None
    return None


def conditions_of(run: FlowRun) -> list[dict[str, Any]]:
    """Return the run's conditions, to be changed."""
    return [dict(c) for c in run.status.get("conditions") or []]


def without(conditions: Iterable[Mapping[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    """Return the conditions except those of these kinds."""
    return [dict(c) for c in conditions if c.get("type") not in kinds]


def with_condition(
    conditions: Iterable[Mapping[str, Any]], kind: str, reason: str, message: str, now: datetime
) -> list[dict[str, Any]]:
    """Return the conditions with one of them True; its time moves only when it was not."""
    others = without(conditions, kind)
    old = next((c for c in conditions if c.get("type") == kind), {})
    since = old.get("lastTransitionTime") if old.get("status") == "True" else None
    new = {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": since or timestamp(now),
    }
    return [*others, new]

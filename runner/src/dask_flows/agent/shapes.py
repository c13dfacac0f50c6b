"""Take from an object only what has the shape it should have.

The schema in the cluster may be older than the agent, or not be enforced for what is stored already, so
any field may hold anything. What only informs is left out where it cannot be read; what decides whether
an attempt may begin is complained about, since a wrong guess could start a run twice.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from dask_flows.deadline import parse_timestamp
from dask_flows.flowrun import CLAIMED, TERMINAL, UNCLAIMED

PHASES = CLAIMED | TERMINAL | UNCLAIMED
TEXTS = (
    "reason",
    "message",
    "mode",
    "jobName",
    "clusterName",
    "startedBy",
    "release",
    "schedulerAddress",
    "dashboardAddress",
)
TIMES = ("startTime", "runningTime", "finishTime", "retryTime", "lastTransitionTime")
COUNTS = ("attempt", "workers", "exitCode", "limit", "infrastructure")
DECIDING = ("phase", "attempt", "startedBy", "release")
LARGEST = 2**31


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings of a list, none for anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text(data: Mapping[str, Any], key: str) -> str:
    """Return a text field, an empty text for anything else."""
    value = data.get(key)
    return value if isinstance(value, str) else ""


def shared(data: Mapping[str, Any], key: str) -> str:
    """Return a text field that many objects have alike, held once for all of them."""
    return sys.intern(text(data, key))


def count(value: Any) -> int | None:
    """Return a whole number of reasonable size that is not negative, None for anything else."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < LARGEST else None


def number(digits: str) -> int:
    """Return the count that a label or an annotation holds, 0 for anything else."""
    fits = digits.isascii() and digits.isdecimal() and len(digits) <= len(str(LARGEST))
    return int(digits) if fits else 0


def identified(obj: Mapping[str, Any], *more: str) -> dict[str, Any]:
    """Return the metadata of an object that can be told from others.

    Raises ValueError without a name, a UID, or a field in ``more``: nobody could act on it.
    """
    meta = dict(mapping(obj.get("metadata")))
    missing = [key for key in ("name", "uid", *more) if not text(meta, key)]
    if missing:
        raise ValueError(f"metadata without {', '.join(missing)}")
    for key in ("resourceVersion", "creationTimestamp"):
        meta[key] = text(meta, key)
    return meta


def status_of(obj: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return what can be read of a FlowRun's status, and what is wrong with it.

    If a deciding field is wrong, nothing of the status is believed but a terminal phase.
    """
    found = mapping(obj.get("status"))
    status = _fields(found)
    for key in ("conditions", "attempts"):
        if key in found:
            named = [_fields(one) for one in mappings(found[key])]
            status[key] = [one for one in named if _identified(key, one)]
    if retries := _fields(mapping(found.get("retries"))):
        status["retries"] = retries
    wrong = [key for key in DECIDING if found.get(key) is not None and key not in status]
    if not wrong:
        return status, ""
    phase = status.get("phase")
    named_fields = ", ".join(f"status.{key}" for key in wrong)
    return {"phase": phase} if phase in TERMINAL else {}, f"{named_fields} cannot be read"


def _identified(key: str, one: Mapping[str, Any]) -> bool:
    return "attempt" in one if key == "attempts" else {"type", "status"} <= one.keys()


def _fields(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in data.items()
        if value is not None and ((fits := _FITS.get(key)) is None or fits(value))
    }


def _is_phase(value: Any) -> bool:
    return isinstance(value, str) and value in PHASES


def _is_count(value: Any) -> bool:
    return count(value) is not None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_time(value: Any) -> bool:
    try:
        return parse_timestamp(value).tzinfo is not None
    except (TypeError, ValueError, OverflowError):
        return False


_FITS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys((*TEXTS, "type", "status"), _is_text),
    **dict.fromkeys(TIMES, _is_time),
    **dict.fromkeys(COUNTS, _is_count),
    "phase": _is_phase,
}

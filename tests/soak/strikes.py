"""Which faults a run has felt: those that hit the agent or the control plane while the run was alive."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any

SECOND = 1.0  # Kubernetes writes whole ones, rounded down

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Strike:
    """A fault, from its begin to its end on the wall clock; an agent that begins is one at a moment.

    ``what`` is the lane that struck: what hits the control plane hits every agent.
    """

    what: str
    begin: float
    end: float


def felt(runs: Iterable[Object], strikes: Collection[Strike]) -> dict[str, int]:
    """Count the strikes in the life of each run, by UID."""
    lives = {run["metadata"]["uid"]: _life(run) for run in runs}
    return {
        uid: sum(strike.begin <= end and begin <= strike.end for strike in strikes)
        for uid, (begin, end) in lives.items()
    }


def begins(statuses: Iterable[Object]) -> Iterator[tuple[str, float]]:
    """Yield each container that a pod's statuses tell of, and when it began."""
    for status in statuses:
        for state in (status.get("state") or {}, status.get("lastState") or {}):
            if state.get("running"):
                yield str(status["containerID"]), _moment(state["running"]["startedAt"])
            ended = state.get("terminated") or {}
            if ended.get("containerID") and ended.get("startedAt"):
                yield str(ended["containerID"]), _moment(ended["startedAt"])


def _life(run: Object) -> tuple[float, float]:
    """Return when a run was created and when it was cleaned up, which is the last that is done for it."""
    conditions = (run.get("status") or {}).get("conditions") or []
    cleaned = [c["lastTransitionTime"] for c in conditions if c["type"] == "CleanedUp"]
    end = _moment(cleaned[0]) + SECOND if cleaned else inf
    return _moment(run["metadata"]["creationTimestamp"]), end


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()

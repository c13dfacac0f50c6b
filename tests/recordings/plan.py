"""What a case is: a pod, what is done to it, and the moments to record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recordings.watching import Seen

if TYPE_CHECKING:
    from recordings.lab import Lab

    Act = Callable[[Lab, Seen], None]

Moment = Callable[[Seen], bool]


def running(seen: Seen) -> bool:
    """Whether the pod's container runs."""
    return any("running" in one.get("state", {}) for one in containers(seen))


def waits(*reasons: str) -> Moment:
    """Return whether a container waits for one of these reasons."""
    return lambda seen: any(
        one.get("state", {}).get("waiting", {}).get("reason") in reasons for one in containers(seen)
    )


def ended(seen: Seen) -> bool:
    """Whether the pod's phase is final."""
    return seen.pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def deleting(seen: Seen) -> bool:
    """Whether the pod is told to end but has not."""
    return "deletionTimestamp" in seen.pod.get("metadata", {}) and not ended(seen)


def unschedulable(seen: Seen) -> bool:
    """Whether the scheduler has said that no node takes the pod."""
    found = seen.pod.get("status", {}).get("conditions") or []
    return any(one.get("reason") == "Unschedulable" for one in found)


def told(*reasons: str) -> Moment:
    """Return whether an event has one of these reasons."""
    return lambda seen: any(event["reason"] in reasons for event in seen.events.values())


def job_failed(seen: Seen) -> bool:
    """Whether the Job is over."""
    found = [c for job in seen.jobs.values() for c in job.get("status", {}).get("conditions") or []]
    return any(c["type"] == "Failed" and c["status"] == "True" for c in found)


def containers(seen: Seen) -> list[dict[str, Any]]:
    """Return the states of the pod's containers, init containers first."""
    status = seen.pod.get("status", {})
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


@dataclass(frozen=True)
class Case:
    """One way in which a pod fails; ``pod`` and ``container`` change the usual ones."""

    name: str
    about: str
    moments: Mapping[str, Moment]
    code: str = "import time; time.sleep(600)"
    pod: Mapping[str, Any] = field(default_factory=dict)
    container: Mapping[str, Any] = field(default_factory=dict)
    component: str = "runner"
    strict: bool = False
    act: "Act | None" = None
    after: "Mapping[str, Act]" = field(default_factory=dict)  # what follows a recorded moment
    when: Moment = running
    timeout: float = 90

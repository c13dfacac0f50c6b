"""What Kubernetes says in events only: a Job whose pod is not admitted, a pod whose volumes cannot be mounted.

Pure functions, as those of ``diagnose``. Events outlive what they tell of, so each is believed only while
the objects look as they do in that trouble.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dask_flows.diagnose import Diagnosis, diagnose_refusal, refusal_reason
from dask_flows.names import attempt_of

REFUSED = "FailedCreate"
SETUP = frozenset({"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"})
# Told of volumes that are mounted a moment later.
_PASSING = re.compile(r"failed to sync|timed out waiting for the condition|not registered")
_NO_SECRET = re.compile(r'secrets? "([^"]+)" not found')
# Other words of a failed creation are trouble of the API server, which passes.
_LASTING = re.compile(r"is forbidden|denied the request|quota|failed calling webhook|is invalid")


@dataclass(frozen=True, slots=True)
class Told:
    """What an event says about one object."""

    kind: str
    name: str
    reason: str
    message: str


def diagnose_creation(told: Iterable[Told], job: str) -> Diagnosis | None:
    """Say why a Job has no pod; None if no event tells."""
    for one in told:
        mine = (one.kind, one.name, one.reason) == ("Job", job, REFUSED)
        if mine and _LASTING.search(one.message):
            message = _line(one.message.removeprefix("Error creating: "))
            return diagnose_refusal(refusal_reason(message), message, f"runner pod of Job {job}")
    return None


def diagnose_setup(told: Iterable[Told], pod: Mapping[str, Any], role: str) -> Diagnosis | None:
    """Say what keeps a node from setting up a pod: its volumes or its network; None if no event tells."""
    name, status = str((pod.get("metadata") or {}).get("name") or ""), pod.get("status") or {}
    if status.get("phase") != "Pending" or _is_prepared(status):
        return None
    for one in told:
        mine = (one.kind, one.name) == ("Pod", name) and one.reason in SETUP
        if mine and not _passes(one.message, name):
            return Diagnosis(
                "ContainerStart",
                f"the node cannot set up the pod: {one.reason}: {_line(one.message)}",
                f"{role} pod {name}",
                "create what the message names, or correct the name",
            )
    return None


def _passes(message: str, pod: str) -> bool:
    """Whether it is told of what is there a moment later; the attempt's own Secret is made after its Job."""
    missing = _NO_SECRET.search(message)
    if missing and re.fullmatch(rf"{re.escape(attempt_of(pod))}-[0-9a-f]{{8}}", missing[1]):
        return True
    return _PASSING.search(message) is not None


def _is_prepared(status: Mapping[str, Any]) -> bool:
    """Whether volumes and network are there; a kubelet that has said nothing has prepared nothing."""
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodReadyToStartContainers":
            return bool(condition.get("status") == "True")
    return bool(status.get("containerStatuses"))


def _line(text: str) -> str:
    return " ".join(text.split())[:600]

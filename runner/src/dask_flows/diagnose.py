"""Why a pod does not start, or why it ended: Kubernetes' evidence in words that people can act on.

Pure functions over pod objects. The reasons are a stable contract (one runbook page each); the text keeps
what Kubernetes said, since its details name the node, the limit or the missing Secret.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Pod = Mapping[str, Any]


@dataclass(frozen=True)
class Diagnosis:
    """One finding; ``final`` means that waiting cannot help."""

    reason: str
    found: str
    where: str = ""
    do: str = ""
    final: bool = False

    @property
    def message(self) -> str:
        """What was found, where, and what to do about it."""
        text = f"{self.found} ({self.where})" if self.where else self.found
        return f"{text}: {self.do}" if self.do else text


PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"})
BAD_NAME = frozenset({"InvalidImageName"})
START = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "PreCreateHookError",
        "PreStartHookError",
        "PostStartHookError",
        "CrashLoopBackOff",
    }
)
NODE_DOWN = frozenset({"NodeLost", "NodeShutdown", "Terminated", "Shutdown"})
STAY = "run it again; keep long runs on nodes that stay"
RANK = "run it when there is room, or give it a priorityClassName in the chart's values"
_QUOTA = re.compile(r"(exceeded|failed) quota")
_LOCAL = re.compile(r"^(localhost|registry\.local|[^/]*\.local)[:/]|^[^/]+$")


def diagnose_pod(pod: Pod, role: str) -> Diagnosis | None:
    """Say why this pod has ended or cannot start; None while nothing is wrong."""
    return diagnose_end(pod, role) or diagnose_start(pod, role)


def diagnose_start(pod: Pod, role: str) -> Diagnosis | None:
    """Say why a pod cannot start, as soon as Kubernetes knows."""
    status = pod.get("status") or {}
    where = f"{role} pod {_name(pod)}"
    for container in _containers(status):
        waiting = (container.get("state") or {}).get("waiting") or {}
        found = _diagnose_waiting(pod, container, waiting, where)
        if found:
            return found
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return Diagnosis(
                "Unschedulable",
                f"no node can take this pod: {_text(condition)}",
                where,
                "ask for less, add nodes, or check node selectors and tolerations",
            )
    return None


def diagnose_end(pod: Pod, role: str) -> Diagnosis | None:
    """Say what ended a pod from outside; None if its program ended by itself, or has not ended."""
    status = pod.get("status") or {}
    where = f"{role} pod {_name(pod)}"
    for condition in status.get("conditions") or []:
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            return _diagnose_disruption(condition, status, where)
    for container in _containers(status):
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("reason") == "OOMKilled":
            return _out_of_memory(pod, container, where)
        if ended.get("reason") in ("StartError", "ContainerCannotRun"):
            return Diagnosis(
                "ContainerStart",
                f"container {container.get('name')} did not start: {_text(ended)}",
                where,
                "check the image's entry point and the command",
                final=True,
            )
    if status.get("phase") == "Failed" and status.get("reason") == "Evicted":
        return Diagnosis(
            "Evicted",
            f"the node evicted the pod: {_text(status)}",
            where,
            "request what it needs, raise the limit that was passed, or write less",
        )
    return _diagnose_pod_reason(status, where) or _diagnose_init(pod, status, where)


def diagnose_refusal(reason: str, message: str, what: str) -> Diagnosis:
    """Say why the API server does not admit an object; ``reason`` as the API error classes name it."""
    if "must specify" in message:
        do = "set what the quota asks for in spec.resources, or in the chart's values"
    elif reason == "QuotaExceeded":
        do = "wait until other runs end, ask for less, or have the quota raised"
    else:
        do = "have the right granted, or see which admission rule refused it"
    return Diagnosis(reason, message, what, do)


def refusal_reason(message: str) -> str:
    """Return the reason for what the API server says when it does not admit an object."""
    return "QuotaExceeded" if _QUOTA.search(message) else "Forbidden"


def ended(pod: Pod) -> bool:
    """Whether no container of the pod will ever run again."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def termination(pod: Pod, container: str) -> Mapping[str, Any] | None:
    """Return how a container ended (``exitCode``, ``message`` …), or None if it has not."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        if status.get("name") == container:
            found = (status.get("state") or {}).get("terminated")
            return found if isinstance(found, Mapping) else None
    return None


def _diagnose_waiting(
    pod: Pod, container: Mapping[str, Any], waiting: Mapping[str, Any], where: str
) -> Diagnosis | None:
    reason, name = waiting.get("reason") or "", container.get("name") or ""
    image = container.get("image") or _image(pod, name)
    if reason in BAD_NAME:
        return Diagnosis(
            "ImagePull", f"{image!r} is no image name", where, "correct the image", final=True
        )
    if reason in PULL:
        return Diagnosis(
            "ImagePull", f"image {image} cannot be pulled: {_text(waiting)}", where, _pull(image)
        )
    if reason not in START:
        return None
    last = (container.get("lastState") or {}).get("terminated") or {}
    if last.get("reason") == "OOMKilled":
        return _out_of_memory(pod, container, where)
    code = f", last exit code {last['exitCode']}" if "exitCode" in last else ""
    return Diagnosis(
        "ContainerStart",
        f"container {name} does not start: {reason}{code}: {_text(waiting)}",
        where,
        "check the Secrets, ConfigMaps and command that the message names",
    )


def _pull(image: str) -> str:
    if _LOCAL.match(image):
        return (
            "build it and load it into the cluster (make image here; kind load docker-image, minikube "
            "image load), or name an image that a registry has"
        )
    return (
        "check registry, name and tag; build and push it if it does not exist; for a private registry "
        "set image.pullSecrets in the chart or spec.imagePullSecrets in the FlowRun"
    )


def _diagnose_disruption(
    condition: Mapping[str, Any], status: Mapping[str, Any], where: str
) -> Diagnosis:
    reason, text = str(condition.get("reason") or ""), _text(condition)
    if reason.startswith("PreemptionBy"):
        return Diagnosis(
            "Preempted", f"a pod of higher priority took its place: {text}", where, RANK
        )
    if reason in ("DeletionByTaintManager", "DeletionByPodGC"):
        return Diagnosis("NodeLost", f"its node went away: {text}", where, STAY)
    if status.get("reason") in NODE_DOWN:  # else TerminationByKubelet is an eviction
        return _node_down(status, where)
    detail = str(status.get("message") or text)
    return Diagnosis("Evicted", f"the pod was evicted ({reason}): {detail}", where, STAY)


def _node_down(status: Mapping[str, Any], where: str) -> Diagnosis:
    return Diagnosis("NodeLost", f"its node went down: {_text(status)}", where, STAY)


def _out_of_memory(pod: Pod, container: Mapping[str, Any], where: str) -> Diagnosis:
    name = container.get("name") or ""
    limit = (_spec(pod, name).get("resources") or {}).get("limits", {}).get("memory")
    most = f"its limit of {limit}" if limit else "its node could give"
    return Diagnosis(
        "OutOfMemory",
        f"container {name} used more memory than {most}",
        where,
        "raise the memory limit, or make the work smaller",
    )


def _diagnose_pod_reason(status: Mapping[str, Any], where: str) -> Diagnosis | None:
    reason = status.get("reason") or ""
    if status.get("phase") != "Failed" or not reason or reason == "DeadlineExceeded":
        return None
    if reason in NODE_DOWN:
        return _node_down(status, where)
    # The kubelet's own admission: OutOfcpu, NodeAffinity, UnexpectedAdmissionError …
    return Diagnosis(
        "ContainerStart",
        f"the node refused the pod ({reason}): {_text(status)}",
        where,
        "run it again",
    )


def _diagnose_init(pod: Pod, status: Mapping[str, Any], where: str) -> Diagnosis | None:
    for container in status.get("initContainerStatuses") or []:
        ended = (container.get("state") or {}).get("terminated") or {}
        if status.get("phase") == "Failed" and ended.get("exitCode"):
            name = container.get("name")
            return Diagnosis(
                "ContainerStart",
                f"init container {name} ended with exit code {ended['exitCode']}: {_text(ended)}",
                where,
                f"see kubectl logs {_name(pod)} -c {name}",
                final=True,
            )
    return None


def _containers(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(key) or []


def _spec(pod: Pod, container: str) -> Mapping[str, Any]:
    spec = pod.get("spec") or {}
    for one in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        if one.get("name") == container:
            return one if isinstance(one, Mapping) else {}
    return {}


def _image(pod: Pod, container: str) -> str:
    return str(_spec(pod, container).get("image") or "")


def _name(pod: Pod) -> str:
    return str((pod.get("metadata") or {}).get("name") or "")


def _text(part: Mapping[str, Any]) -> str:
    text = str(part.get("message") or part.get("reason") or "no details")
    return " ".join(text.split())[:600]

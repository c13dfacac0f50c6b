"""Whether the node of a pod answers, judged by the pod alone: the agent may not read nodes.

Kubernetes marks the pods of a node that is silent; later it wants them deleted, and only the node itself
could say that they ended. Until the pod's object is gone or says so, its program may run.
"""

from collections.abc import Iterable
from datetime import datetime

from dask_flows.agent.timing import age
from dask_flows.agent.views import PodView
from dask_flows.diagnose import Diagnosis

OVERDUE = 15.0  # seconds after the end of its grace period in which a node that answers ends a pod
SILENT = ("NodeLost", "NodeStatusUnknown")


def unreachable(pods: Iterable[PodView], now: datetime) -> Diagnosis | None:
    """Say which pod is on a node that does not answer; None if all nodes seem to."""
    return next((_found(pod) for pod in pods if _is_cut_off(pod, now)), None)


def _is_cut_off(pod: PodView, now: datetime) -> bool:
    if pod.ended or pod.termination is not None:
        return False
    status = pod.obj.get("status") or {}
    if status.get("reason") in SILENT or pod.phase == "Unknown":
        return True
    due = (pod.obj.get("metadata") or {}).get("deletionTimestamp")
    return _is_marked(pod) or (due is not None and age(due, now) > OVERDUE)


def _is_marked(pod: PodView) -> bool:
    status = pod.obj.get("status") or {}
    for condition in status.get("conditions") or []:
        kind, reason = condition.get("type"), condition.get("reason")
        if kind == "DisruptionTarget" and reason == "DeletionByTaintManager":
            return bool(condition.get("status") == "True")
        if kind == "Ready" and condition.get("status") == "False":
            # A kubelet that is there never calls a pod unready whose containers are all ready.
            containers = status.get("containerStatuses") or []
            ready = bool(containers) and all(c.get("ready") for c in containers)
            return reason in SILENT or ready
    return False


def _found(pod: PodView) -> Diagnosis:
    node = str((pod.obj.get("spec") or {}).get("nodeName") or "?")
    return Diagnosis(
        "NodeUnreachable",
        f"node {node} does not answer",
        f"pod {pod.name}",
        f"the pod may still run there, and nothing replaces it before it is known to be dead; bring the "
        f"node back, or once the machine is off for good kubectl delete node {node}",
    )

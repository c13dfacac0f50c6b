"""The steps of the protocol, told from the writes that carry them out.

The tests end the agent before and after each of these, so every write that the agent learns needs a name
here: a write without one fails them.
"""

from typing import Any

from dask_flows.agent.conditions import BLOCKED, CLEANED_UP, NODE_UNREACHABLE, STOPPING
from dask_flows.agent.views import NEXT_WORKER
from dask_flows.flowrun import PENDING, RUNNING, STARTING, SUSPENDED, TERMINAL
from dask_flows.kube.api import Api
from dask_flows.kube.failpoints import Failpoints, Point, exit_at
from dask_flows.kube.resources import (
    CONFIG_MAPS,
    EVENTS,
    FLOWRUNS,
    JOBS,
    LEASES,
    NETWORK_POLICIES,
    PODS,
    SECRETS,
    SERVICES,
)
from dask_flows.kube.through import Call
from dask_flows.names import ANNOTATION_TOKEN, LABEL_COMPONENT, LABEL_OVER

# Each with what it means for a run, in the order of a whole life.
STEPS: dict[str, str] = {
    "hold": "status says why nobody claims the run yet",
    "claim": "status: an attempt has its number and its names (T1)",
    "replan": "status: an attempt that has not begun gets another mode",
    "service": "the scheduler's Service, which gives the address",
    "networkpolicy": "what closes the attempt's own pods to others, at the same time",
    "configmap": "the pinned plan, for a cluster of the attempt's own",
    "scheduler": "the scheduler's pod",
    "worker": "a worker's pod",
    "job": "the runner's Job: the attempt has begun (T2)",
    "secret": "the runner's inputs and token, which its pod waits for",
    "token": "a Job without its Secret gets another token",
    "report": "status says what keeps the attempt from running, or that nothing does",
    "start": "status: one pod has leave to start (T4)",
    "running": "status: the flow runs",
    "progress": "status: the number of workers",
    "reserve": "the numbers of new workers are taken",
    "stop": "status: the intent to end the attempt",
    "unreachable": "status: a pod may live on a node that does not answer, or none does any more",
    "end-pod": "a runner that does not stop gets a deadline",
    "retry": "status: the attempt's end is recorded, another follows (T5)",
    "finish": "status: the run's end is recorded (T5)",
    "delete-cluster": "a Dask pod of the attempt goes (T6)",
    "delete-service": "its Service goes (T6)",
    "delete-networkpolicy": "its NetworkPolicy goes, at the same time (T6)",
    "delete-job": "a Job whose pod never began goes",
    "ttl": "the Job gets its time to live, and the label of those that nobody waits for (T7)",
    "delete-configmap": "the plan goes (T6)",
    "cleaned": "status: nothing is left of the attempt but its Job",
    "blocked": "status of a run that is over: why its objects cannot be removed",
    "delete-pause": "the Lease of our own upgrade goes",
    "event": "an Event on the FlowRun",
}
_CREATED = {
    SERVICES: "service",
    NETWORK_POLICIES: "networkpolicy",
    CONFIG_MAPS: "configmap",
    SECRETS: "secret",
    JOBS: "job",
    EVENTS: "event",
}
_DELETED = {
    SERVICES: "delete-service",
    NETWORK_POLICIES: "delete-networkpolicy",
    JOBS: "delete-job",
    CONFIG_MAPS: "delete-configmap",
    LEASES: "delete-pause",
}

_BY_CONDITION = {
    BLOCKED: "blocked",
    CLEANED_UP: "cleaned",
    STOPPING: "stop",
    NODE_UNREACHABLE: "unreachable",
}


def armed(api: Api, failpoint: str) -> Api:
    """Return the API that ends the process at a failpoint, or the API itself without one.

    Raises UsageError for a failpoint that does not exist.
    """
    return Failpoints(api, exit_at(Point.parse(failpoint, STEPS), step_of)) if failpoint else api


def step_of(write: Call) -> str:
    """Name the step that a write is; empty for one that nobody has named."""
    if write.verb == "patch":
        return _of_patch(write)
    if write.verb == "create":
        return _component(write) if write.resource is PODS else _CREATED.get(write.resource, "")
    dask = write.name.endswith("-scheduler") or "-worker-" in write.name
    if write.resource is PODS:
        return "delete-cluster" if dask else ""
    return _DELETED.get(write.resource, "")


def _component(write: Call) -> str:
    component = str(write.body["metadata"]["labels"].get(LABEL_COMPONENT))
    return component if component in ("scheduler", "worker") else ""


def _of_patch(write: Call) -> str:
    if write.resource is FLOWRUNS and write.subresource == "status":
        return _of_status(write.body["status"])
    if write.resource is JOBS:
        return _of_job(write.body)
    return _of_pod(write.body) if write.resource is PODS else ""


def _of_status(patch: dict[str, Any]) -> str:
    phase = patch.get("phase")
    if phase in TERMINAL:
        return "finish"
    if phase == STARTING:
        return "claim"
    if phase == RUNNING:
        return "running"
    if phase in (PENDING, SUSPENDED):
        return "retry" if patch.get("attempts") else "hold"
    return _of_phase_kept(patch)


def _of_phase_kept(patch: dict[str, Any]) -> str:
    if patch.get("startedBy"):
        return "start"
    # The newest condition is the last: those before it are of earlier steps.
    for condition in reversed(patch.get("conditions") or []):
        if condition["status"] == "True" and condition["type"] in _BY_CONDITION:
            return _BY_CONDITION[condition["type"]]
    if set(patch) - {"observedGeneration"} == {"conditions"}:
        return "unreachable"  # the only condition that is taken back
    if "mode" in patch:
        return "replan"
    if "workers" in patch:
        return "progress"
    return "report" if {"reason", "message"} & set(patch) else ""


def _of_job(patch: dict[str, Any]) -> str:
    if LABEL_OVER in patch.get("metadata", {}).get("labels", {}):
        return "ttl"
    return "token" if ANNOTATION_TOKEN in patch.get("metadata", {}).get("annotations", {}) else ""


def _of_pod(patch: dict[str, Any]) -> str:
    if patch.get("spec", {}).get("activeDeadlineSeconds"):
        return "end-pod"
    return "reserve" if NEXT_WORKER in (patch.get("metadata", {}).get("annotations") or {}) else ""

"""Which runs wait for an agent, and what shows that one has gone on with them."""

from collections.abc import Collection
from typing import Any
from urllib.parse import quote

from dask_flows.flowrun import TERMINAL
from dask_flows.names import ANNOTATION_TOKEN, LABEL_COMPONENT, LABEL_OVER, LABEL_RUN
from invariants.evidence import has_condition
from kube import Kube, Object

# Without Secrets: Kubernetes removes them with their Jobs, and nobody could tell that from an agent's work.
OURS = ("jobs", "pods", "services", "networkpolicies", "configmaps")


def waits_for_an_agent(run: Object) -> bool:
    """Whether an agent has something to write for a run as soon as it is there; else others come first."""
    status, wish = run.get("status") or {}, bool(run["spec"].get("cancel"))
    phase = status.get("phase")
    if phase in TERMINAL:
        return not has_condition(status, "CleanedUp")
    if phase == "Suspended":
        return wish or not run["spec"].get("suspend")
    # It has been said already why the pod does not start, or that its node does not answer.
    said = phase == "Starting" and status.get("reason")
    return wish or not (said or has_condition(status, "NodeUnreachable"))


def traces(kube: Kube, names: Collection[str]) -> dict[str, list[Any]]:
    """Return what nobody but an agent changes of these runs: their status, their objects and marks on them."""
    if not names:
        return {}
    runs = {run["metadata"]["name"]: run for run in kube.list("flowruns")}
    found: dict[str, list[Any]] = {name: [runs[name].get("status")] for name in names}
    chosen = quote(f"{LABEL_RUN} in ({','.join(names)})")
    for kind in OURS:
        for obj in kube.list(kind, chosen):
            meta, spec = obj["metadata"], obj.get("spec") or {}
            mark = (
                (meta.get("annotations") or {}).get(ANNOTATION_TOKEN),
                meta["labels"].get(LABEL_OVER),
                spec.get("activeDeadlineSeconds"),
            )
            # Runners' pods come and go with their Jobs; what is being deleted goes without an agent.
            by_job = kind == "pods" and meta["labels"][LABEL_COMPONENT] == "runner"
            if "deletionTimestamp" not in meta and (any(mark) or not by_job):
                found[meta["labels"][LABEL_RUN]].append((kind, meta["name"], mark))
    return found

"""What the agent keeps of each object: the fields it decides by, and nothing else.

Thousands of finished runs stay in the cluster; whole objects would cost fifty times the memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dask_flows import names
from dask_flows.agent.conditions import CLEANED_UP, condition
from dask_flows.diagnose import ended, termination
from dask_flows.errors import UsageError
from dask_flows.flowrun import FlowRun, Spec
from dask_flows.kube.api import Object

# On the scheduler's pod: the number of the next worker, so that none is used twice.
NEXT_WORKER = f"{names.GROUP}/next-worker"
# Stands in where a spec cannot be read or is of no use any more.
NO_SPEC = Spec.parse({"command": ["true"]})


@dataclass(frozen=True)
class RunView:
    """A FlowRun without its bulk; ``invalid`` says what is wrong with its spec."""

    run: FlowRun
    generation: int
    deleting: bool
    invalid: str = ""

    @classmethod
    def of(cls, obj: Object) -> "RunView":
        """Project a FlowRun; never fails for a bad spec."""
        meta = obj["metadata"]
        status = obj.get("status")
        whole = {**obj, "status": status if isinstance(status, Mapping) else {}}
        try:
            run, invalid = FlowRun.parse(whole), ""
        except UsageError as error:
            run, invalid = FlowRun.parse({**whole, "spec": {"command": ["true"]}}), str(error)
        # Parameters and files are read again, from the API, by the one step that needs them.
        run = replace(run, spec=replace(run.spec, parameters={}, files=()), raw={})
        if run.terminal and condition(run, CLEANED_UP):
            run = replace(run, spec=NO_SPEC, status=_remains(run.status))
        generation = int(meta.get("generation") or 0)
        return cls(run, generation, "deletionTimestamp" in meta, invalid)


@dataclass(frozen=True, slots=True)
class JobView:
    """A runner Job."""

    name: str
    uid: str
    run: str
    run_uid: str
    attempt: int
    created: str
    owner_uid: str
    token_sha256: str
    ttl: int | None
    finished: bool
    deleting: bool

    @classmethod
    def of(cls, obj: Object) -> "JobView":
        """Project a Job."""
        meta, spec = obj["metadata"], obj.get("spec") or {}
        conditions = (obj.get("status") or {}).get("conditions") or []
        over = (c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            created=meta.get("creationTimestamp", ""),
            owner_uid=controller_of(obj),
            token_sha256=(meta.get("annotations") or {}).get(names.ANNOTATION_TOKEN, ""),
            ttl=spec.get("ttlSecondsAfterFinished"),
            finished=any(over),
            deleting="deletionTimestamp" in meta,
            **_ours(meta),
        )


@dataclass(frozen=True, slots=True)
class PodView:
    """A runner, scheduler or worker pod; ``obj`` holds what a diagnosis reads."""

    name: str
    uid: str
    run: str
    run_uid: str
    attempt: int
    created: str
    owner_uid: str
    component: str
    phase: str
    deleting: bool
    active_deadline: int | None
    next_worker: int
    obj: Mapping[str, Any]

    @classmethod
    def of(cls, obj: Object) -> "PodView":
        """Project a pod."""
        meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
        labels = meta.get("labels") or {}
        next_worker = (meta.get("annotations") or {}).get(NEXT_WORKER, "0")
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            created=meta.get("creationTimestamp", ""),
            owner_uid=controller_of(obj),
            component=labels.get(names.LABEL_COMPONENT, ""),
            phase=status.get("phase", "Pending"),
            deleting="deletionTimestamp" in meta,
            active_deadline=spec.get("activeDeadlineSeconds"),
            next_worker=int(next_worker) if next_worker.isdecimal() else 0,
            obj=_evidence(meta, spec, status),
            **_ours(meta),
        )

    @property
    def ended(self) -> bool:
        """Whether nothing of it will run again."""
        return ended(self.obj)

    @property
    def begun(self) -> bool:
        """Whether its main container has run at all."""
        return self.phase != "Pending" or termination(self.obj, self.component) is not None

    @property
    def termination(self) -> Mapping[str, Any] | None:
        """How its main container ended, or None."""
        return termination(self.obj, self.component)


def _remains(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is still asked of a run that is over and cleaned up."""
    kept = {key: status[key] for key in ("phase", "reason", "attempt", "mode") if key in status}
    return {**kept, "conditions": [{"type": CLEANED_UP, "status": "True"}]}


def controller_of(obj: Object) -> str:
    """Return the UID of the object's controlling owner, or an empty text."""
    owners = obj["metadata"].get("ownerReferences") or []
    return next((str(o.get("uid")) for o in owners if o.get("controller")), "")


def attempt_of(obj: Object) -> int:
    """Return the attempt in an object's labels, 0 if there is none."""
    text = str((obj["metadata"].get("labels") or {}).get(names.LABEL_ATTEMPT) or "")
    return int(text) if text.isdecimal() else 0


def _ours(meta: Mapping[str, Any]) -> dict[str, Any]:
    labels = meta.get("labels") or {}
    return {
        "run": labels.get(names.LABEL_RUN, ""),
        "run_uid": labels.get(names.LABEL_RUN_UID, ""),
        "attempt": attempt_of({"metadata": meta}),
    }


def _evidence(
    meta: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]
) -> dict[str, Any]:
    containers = [
        {key: c[key] for key in ("name", "image", "resources") if key in c}
        for c in spec.get("containers") or []
    ]
    keys = ("phase", "reason", "message", "initContainerStatuses", "containerStatuses")
    conditions = [
        c
        for c in status.get("conditions") or []
        if c.get("type") == "DisruptionTarget" or c.get("status") == "False"
    ]
    return {
        "metadata": {"name": meta["name"]},
        "spec": {"containers": containers},
        "status": {**{k: status[k] for k in keys if k in status}, "conditions": conditions},
    }

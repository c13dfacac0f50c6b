"""What the agent keeps of each object: the fields it decides by, and nothing else.

Thousands of finished runs stay in the cluster; whole objects would cost fifty times the memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dask_flows import names
from dask_flows.agent.conditions import CLEANED_UP, condition
from dask_flows.agent.shapes import (
    count,
    identified,
    mapping,
    mappings,
    number,
    status_of,
    text,
)
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
        """Project a FlowRun; never fails for a bad spec or status, only for one without identity."""
        meta = identified(obj, "namespace")
        status, invalid = status_of(obj)
        whole = {"metadata": meta, "status": status}
        try:
            run = FlowRun.parse({**whole, "spec": obj.get("spec")})
        except UsageError as error:
            run, invalid = FlowRun.parse({**whole, "spec": {"command": ["true"]}}), str(error)
        # Parameters and files are read again, from the API, by the one step that needs them.
        run = replace(run, spec=replace(run.spec, parameters={}, files=()), raw={})
        if run.terminal and condition(run, CLEANED_UP):
            run = replace(run, spec=NO_SPEC, status=_remains(run.status))
        generation = count(meta.get("generation")) or 0
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
        meta, spec = identified(obj), mapping(obj.get("spec"))
        conditions = mappings(mapping(obj.get("status")).get("conditions"))
        over = (
            text(c, "type") in ("Complete", "Failed") and text(c, "status") == "True"
            for c in conditions
        )
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            created=text(meta, "creationTimestamp"),
            owner_uid=controller_of(obj),
            token_sha256=text(mapping(meta.get("annotations")), names.ANNOTATION_TOKEN),
            ttl=count(spec.get("ttlSecondsAfterFinished")),
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
        meta = identified(obj)
        spec, status = mapping(obj.get("spec")), mapping(obj.get("status"))
        annotations = mapping(meta.get("annotations"))
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            created=text(meta, "creationTimestamp"),
            owner_uid=controller_of(obj),
            component=text(mapping(meta.get("labels")), names.LABEL_COMPONENT),
            phase=text(status, "phase") or "Pending",
            deleting="deletionTimestamp" in meta,
            active_deadline=count(spec.get("activeDeadlineSeconds")),
            next_worker=number(text(annotations, NEXT_WORKER)),
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
    owners = mappings(mapping(obj.get("metadata")).get("ownerReferences"))
    return next((text(o, "uid") for o in owners if o.get("controller") is True), "")


def attempt_of(obj: Object) -> int:
    """Return the attempt in an object's labels, 0 if there is none."""
    labels = mapping(mapping(obj.get("metadata")).get("labels"))
    return number(text(labels, names.LABEL_ATTEMPT))


def _ours(meta: Mapping[str, Any]) -> dict[str, Any]:
    labels = mapping(meta.get("labels"))
    return {
        "run": text(labels, names.LABEL_RUN),
        "run_uid": text(labels, names.LABEL_RUN_UID),
        "attempt": attempt_of({"metadata": meta}),
    }


def _evidence(
    meta: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]
) -> dict[str, Any]:
    containers = [
        {key: c[key] for key in ("name", "image", "resources") if key in c}
        for c in mappings(spec.get("containers"))
    ]
    states = {
        key: [_container(one) for one in mappings(status[key])]
        for key in ("initContainerStatuses", "containerStatuses")
        if key in status
    }
    conditions = [
        c
        for c in mappings(status.get("conditions"))
        if c.get("type") == "DisruptionTarget" or c.get("status") == "False"
    ]
    texts = {key: text(status, key) for key in ("phase", "reason", "message") if text(status, key)}
    return {
        "metadata": {key: meta[key] for key in ("name", "deletionTimestamp") if key in meta},
        "spec": {"containers": containers, "nodeName": text(spec, "nodeName")},
        "status": {**texts, **states, "conditions": conditions},
    }


def _container(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return the status of a container; its states are mappings of mappings."""
    states = {
        key: {name: mapping(state) for name, state in mapping(status[key]).items()}
        for key in ("state", "lastState")
        if key in status
    }
    return {**status, **states}

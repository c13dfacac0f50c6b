"""What the agent keeps of each object: the fields it decides by, and nothing else.

Thousands of finished runs stay in the cluster; whole objects would cost fifty times the memory.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dask_flows import names
from dask_flows.agent.conditions import CLEANED_UP, condition_in
from dask_flows.agent.shapes import (
    DECIDING,
    count,
    identified,
    mapping,
    mappings,
    number,
    shared,
    status_of,
    text,
)
from dask_flows.diagnose import ended, termination
from dask_flows.errors import UsageError
from dask_flows.flowrun import (
    PENDING,
    TERMINAL,
    UNCLAIMED,
    FlowRun,
    Spec,
    check_parameters,
    spec_of,
)
from dask_flows.kube.api import Object

# On the scheduler's pod: the number of the next worker, so that none is used twice.
NEXT_WORKER = f"{names.GROUP}/next-worker"
# Stands in where a spec cannot be read or is of no use any more.
NO_SPEC = Spec.parse({"command": ["true"]})
# All that is still asked of a run that is over and cleaned up.
REMAINS = ("phase", "reason", "attempt", "mode")
CLEANED = [{"type": CLEANED_UP, "status": "True"}]
# What a diagnosis reads of a pod; ENDED is what it reads if no container will run again.
ENDED = frozenset({"DisruptionTarget", "PodScheduled"})
CONDITIONS = ENDED | {"Ready", "PodReadyToStartContainers"}


@dataclass(frozen=True, slots=True)
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
        status, invalid = status_of(_shortened(obj))
        spec = NO_SPEC
        if _is_over(status):
            status = _remains(status)
        else:
            try:
                spec = spec_of(obj)
                # An attempt that has begun has them already; nobody would listen.
                if status.get("phase", PENDING) in UNCLAIMED:
                    check_parameters(spec.parameters)
            except UsageError as error:
                invalid = str(error)
        # Parameters and files are read again, from the API, by the one step that needs them.
        if spec.parameters or spec.files:
            spec = replace(spec, parameters={}, files=())
        run = FlowRun(
            name=meta["name"],
            namespace=shared(meta, "namespace"),
            uid=shared(meta, "uid"),
            resource_version=meta["resourceVersion"],
            created=meta["creationTimestamp"],
            spec=spec,
            status=status,
            raw={},
        )
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
    plan: str
    ttl: int | None
    finished: bool
    over: bool
    deleting: bool

    @classmethod
    def of(cls, obj: Object) -> "JobView":
        """Project a Job."""
        meta, spec = identified(obj), mapping(obj.get("spec"))
        annotations = mapping(meta.get("annotations"))
        conditions = mappings(mapping(obj.get("status")).get("conditions"))
        over = (
            text(c, "type") in ("Complete", "Failed") and text(c, "status") == "True"
            for c in conditions
        )
        finished = any(over)
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            created=text(meta, "creationTimestamp"),
            owner_uid=controller_of(obj),
            token_sha256=text(annotations, names.ANNOTATION_TOKEN),
            plan=text(annotations, names.ANNOTATION_PLAN) if not finished else "",
            ttl=count(spec.get("ttlSecondsAfterFinished")),
            finished=finished,
            over=names.LABEL_OVER in mapping(meta.get("labels")),
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
            component=shared(mapping(meta.get("labels")), names.LABEL_COMPONENT),
            phase=shared(status, "phase") or "Pending",
            deleting="deletionTimestamp" in meta,
            active_deadline=count(spec.get("activeDeadlineSeconds")),
            next_worker=number(text(annotations, NEXT_WORKER)),
            obj=_evidence(meta, spec, status),
            **_ours(meta),
        )

    @property
    def is_runner(self) -> bool:
        """Whether it is a runner's, of Kubernetes' Job or of anybody who used our labels."""
        return self.component == "runner"

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


def _shortened(obj: Object) -> Object:
    """Return a run that is over with nothing but what remains: a restart reads thousands of them."""
    status = mapping(obj.get("status"))
    conditions = mappings(status.get("conditions"))
    if text(status, "phase") not in TERMINAL or not condition_in(conditions, CLEANED_UP):
        return obj
    kept = {key: status[key] for key in (*REMAINS, *DECIDING) if key in status}
    return {"status": {**kept, "conditions": CLEANED}}


def _is_over(status: Mapping[str, Any]) -> bool:
    conditions = status.get("conditions") or []
    return status.get("phase") in TERMINAL and condition_in(conditions, CLEANED_UP) is not None


def _remains(status: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: status[key] for key in REMAINS if key in status}
    texts = {key: shared(kept, key) for key, value in kept.items() if isinstance(value, str)}
    return {**kept, **texts, "conditions": CLEANED}


def controller_of(obj: Object) -> str:
    """Return the UID of the object's controlling owner, or an empty text."""
    owners = mappings(mapping(obj.get("metadata")).get("ownerReferences"))
    return next((shared(o, "uid") for o in owners if o.get("controller") is True), "")


def attempt_of(obj: Object) -> int:
    """Return the attempt in an object's labels, 0 if there is none."""
    labels = mapping(mapping(obj.get("metadata")).get("labels"))
    return number(text(labels, names.LABEL_ATTEMPT))


def _ours(meta: Mapping[str, Any]) -> dict[str, Any]:
    labels = mapping(meta.get("labels"))
    return {
        "run": shared(labels, names.LABEL_RUN),
        "run_uid": shared(labels, names.LABEL_RUN_UID),
        "attempt": number(text(labels, names.LABEL_ATTEMPT)),
    }


def _evidence(
    meta: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]
) -> dict[str, Any]:
    states = {
        key: [_container(one) for one in mappings(status[key])]
        for key in ("initContainerStatuses", "containerStatuses")
        if key in status
    }
    ended_plainly = {text(c, "name") for c in states.get("containerStatuses", ()) if _is_plain(c)}
    containers = [
        {key: c[key] for key in ("name", "image", "resources") if key in c}
        for c in mappings(spec.get("containers"))
        if text(c, "name") not in ended_plainly
    ]
    told = ENDED if text(status, "phase") in ("Succeeded", "Failed") else CONDITIONS
    conditions = [
        {key: shared(c, key) for key in ("type", "status", "reason", "message") if key in c}
        for c in mappings(status.get("conditions"))
        if text(c, "type") in told
        and (c.get("type") == "DisruptionTarget" or c.get("status") == "False")
    ]
    texts = {key: text(status, key) for key in ("phase", "reason", "message") if text(status, key)}
    return {
        "metadata": {key: meta[key] for key in ("name", "deletionTimestamp") if key in meta},
        "spec": {"containers": containers, "nodeName": shared(spec, "nodeName")},
        "status": {**texts, **states, "conditions": conditions},
    }


def _container(status: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {key: shared(status, key) for key in ("name", "image") if key in status}
    if "ready" in status:
        found["ready"] = status["ready"]
    for key in ("state", "lastState"):
        if states := mapping(status.get(key)):
            found[key] = {sys.intern(name): _state(mapping(one)) for name, one in states.items()}
    return found


def _state(state: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: state[key] for key in ("exitCode", "message", "finishedAt") if key in state}
    return {**found, "reason": shared(state, "reason")} if "reason" in state else found


def _is_plain(status: Mapping[str, Any]) -> bool:
    """Whether a container has ended and nobody will ask for its image or its memory limit."""
    end = status.get("state", {}).get("terminated", {})
    return "reason" in end and end["reason"] != "OOMKilled"

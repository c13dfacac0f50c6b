"""A FlowRun as Python sees it: typed fields over the object that the API server stores.

The schema in the chart has already refused most mistakes; what is checked here again is what the agent
relies on, because a cluster may carry an older schema.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from dask_flows.errors import ConfigError, UsageError
from dask_flows.reading import Reader
from dask_flows.retries import Asked

PENDING, STARTING, RUNNING = "Pending", "Starting", "Running"
SUCCEEDED, FAILED, CANCELLED, SUSPENDED = "Succeeded", "Failed", "Cancelled", "Suspended"
TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELLED})
CLAIMED = frozenset({STARTING, RUNNING})
UNCLAIMED = frozenset({PENDING, SUSPENDED})

# A schema can count neither bytes nor levels of any JSON, so these two hold for command line and agent.
LARGEST_PARAMETERS = 64 * 1024  # bytes of what the attempt's Secret holds
DEEPEST_PARAMETERS = 500  # levels; Python 3.11 reads no JSON of a thousand


@dataclass(frozen=True, slots=True)
class Role:
    """What a FlowRun asks for one of runner, scheduler, worker."""

    image: str | None = None
    resources: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """The request; None means that the release's value holds."""

    flow: str | None
    command: list[str] | None
    parameters: Mapping[str, Any]
    files: tuple[Mapping[str, str], ...]
    source_config_map: Mapping[str, str] | None
    profile: str | None
    image: str | None
    mode: str | None
    replicas: int | None
    minimum: int | None
    maximum: int | None
    threads: int | None
    worker: Role
    scheduler: Role
    runner: Role
    resources: Mapping[str, Any] | None
    env: tuple[Mapping[str, Any], ...]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    interruptible: bool
    image_pull_secrets: tuple[Mapping[str, str], ...]
    retries: Asked
    start_deadline: int | None
    deadline: int | None
    ttl: int | None
    suspend: bool
    cancel: bool

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Read ``spec``; raises UsageError that names the field."""
        top = Reader(data, "spec")
        workers, source = top.reader("workers"), top.reader("source")
        spec = cls(
            flow=top.maybe("flow", str),
            command=top.items("command", str) or None,
            parameters=top.get("parameters", dict, {}),
            files=tuple(source.items("files", dict)),
            source_config_map=source.maybe("configMap", dict),
            profile=top.maybe("profile", str),
            image=top.maybe("image", str),
            mode=top.maybe("mode", str),
            replicas=workers.maybe("replicas", int),
            minimum=workers.maybe("minimum", int),
            maximum=workers.maybe("maximum", int),
            threads=workers.maybe("threads", int),
            worker=Role(workers.maybe("image", str), _resources(workers)),
            scheduler=_role(top.reader("scheduler")),
            runner=_role(top.reader("runner")),
            resources=_resources(top),
            env=tuple(top.items("env", dict)),
            labels=top.texts("labels"),
            annotations=top.texts("annotations"),
            interruptible=top.get("interruptible", bool, False),
            image_pull_secrets=tuple(top.items("imagePullSecrets", dict)),
            retries=top.whole("retries", Asked.read),
            start_deadline=top.maybe("startDeadlineSeconds", int),
            deadline=top.maybe("deadlineSeconds", int),
            ttl=top.maybe("ttlSecondsAfterFinished", int),
            suspend=top.get("suspend", bool, False),
            cancel=top.get("cancel", bool, False),
        )
        for reader in (workers, source, top):
            reader.done()
        spec._check()
        return spec

    def _check(self) -> None:
        counts = (self.replicas, self.minimum, self.maximum, self.threads)
        seconds = (self.start_deadline, self.deadline, self.ttl)
        if any(number is not None and number < 0 for number in counts + seconds):
            raise UsageError("a number in spec is negative", where="spec", do="give 0 or more")
        if (self.flow is None) == (self.command is None):
            raise UsageError("spec needs exactly one of flow and command", where="spec")
        if self.replicas is not None and (self.minimum is not None or self.maximum is not None):
            raise UsageError(
                "spec.workers has replicas and minimum or maximum",
                where="spec.workers",
                do="give replicas for a fixed size, or minimum and maximum",
            )

    def worker_bounds(self, minimum: int, maximum: int) -> tuple[int, int]:
        """Return least and most workers, the release's values filling what is not said."""
        if self.replicas is not None:
            return self.replicas, self.replicas
        low = self.minimum if self.minimum is not None else min(minimum, self.maximum or minimum)
        high = self.maximum if self.maximum is not None else max(maximum, low)
        if low > high:
            raise UsageError(
                f"minimum {low} is more than maximum {high}", where="spec.workers", do="swap them"
            )
        return low, high


@dataclass(frozen=True, slots=True)
class FlowRun:
    """One FlowRun; ``raw`` is the whole object, ``status`` its status (never None)."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    created: str
    spec: Spec
    status: Mapping[str, Any]
    raw: Mapping[str, Any]

    @classmethod
    def parse(cls, obj: Mapping[str, Any]) -> Self:
        """Read an object of the API; raises UsageError if its spec is not valid."""
        meta, spec = obj["metadata"], spec_of(obj)
        return cls(
            name=meta["name"],
            namespace=meta["namespace"],
            uid=meta["uid"],
            resource_version=meta.get("resourceVersion", ""),
            created=meta.get("creationTimestamp", ""),
            spec=spec,
            status=obj.get("status") or {},
            raw=obj,
        )

    @property
    def phase(self) -> str:
        """The phase in status; Pending before the agent has seen the run."""
        return str(self.status.get("phase") or PENDING)

    @property
    def attempt(self) -> int:
        """The number of the last attempt; 0 before the first."""
        return int(self.status.get("attempt") or 0)

    @property
    def terminal(self) -> bool:
        """Whether the run is over."""
        return self.phase in TERMINAL

    @property
    def between(self) -> bool:
        """Whether the last attempt's end is recorded, and another one may follow."""
        return self.attempt > 0 and self.phase in UNCLAIMED

    @property
    def last(self) -> Mapping[str, Any]:
        """What status says of the last attempt; empty before the first."""
        attempts = self.status.get("attempts") or [{}]
        return attempts[-1] if isinstance(attempts[-1], dict) else {}


def spec_of(obj: Mapping[str, Any]) -> Spec:
    """Read the spec of an object of the API; raises UsageError that names the FlowRun."""
    try:
        return Spec.parse(obj.get("spec") or {})
    except ConfigError as error:
        where = f"FlowRun {obj['metadata']['name']}"
        raise UsageError(error.found, where=where, do=error.do) from None


def parameters_json(parameters: Mapping[str, Any]) -> str:
    """Return parameters as the attempt's Secret holds them."""
    return json.dumps(dict(parameters), ensure_ascii=False)


def parameters_size(parameters: Mapping[str, Any], where: str) -> int:
    """Return the bytes of parameters in UTF-8; raises UsageError for what is nested too deeply to be written."""
    if _is_too_deep(parameters):
        raise UsageError(
            f"parameters are nested more than {DEEPEST_PARAMETERS} levels deep",
            where=where,
            do="make them flat, or put the data into storage and pass its address",
        )
    # JSON knows halves of characters, which UTF-8 does not: they are counted, not refused.
    return len(parameters_json(parameters).encode(errors="surrogatepass"))


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise UsageError for parameters that are too large or nested too deeply for an attempt."""
    size = parameters_size(parameters, "spec.parameters")
    if size > LARGEST_PARAMETERS:
        raise UsageError(
            f"parameters are {-(-size // 1024)} KiB, at most {LARGEST_PARAMETERS // 1024} are possible",
            where="spec.parameters",
            do="put the data into storage and pass its address",
        )


def _is_too_deep(parameters: Mapping[str, Any]) -> bool:
    """Go down level by level: a function that calls itself would fail where it has to answer."""
    level: list[Any] = [parameters]
    for _ in range(DEEPEST_PARAMETERS):
        inner = (one.values() if isinstance(one, Mapping) else one for one in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not level:
            return False
    return True


def _resources(data: Reader) -> Mapping[str, Any] | None:
    resources = data.maybe("resources", dict)
    for kind, amounts in (resources or {}).items():
        if not isinstance(amounts, dict):
            where = f"{data.path}.resources.{kind}"
            raise UsageError(f"{where} is no mapping", where=where, do="name amounts: {cpu: 1}")
    return resources


def _role(data: Reader) -> Role:
    role = Role(data.maybe("image", str), _resources(data))
    data.done()
    return role

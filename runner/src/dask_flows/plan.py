"""An attempt, resolved: what was asked for, laid over what the release decides.

A :class:`Plan` is made when an attempt starts and stored with its objects: a later ``helm upgrade`` or a
restarted agent never changes a run in flight.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from dask_flows import names
from dask_flows.config import AgentConfig
from dask_flows.deadline import SCHEDULER_TIMEOUT, WORKERS_TIMEOUT
from dask_flows.errors import UsageError
from dask_flows.flowrun import FlowRun, Spec
from dask_flows.patching import patch_template, reserved, role_patch
from dask_flows.settings import Profile

COMM_PORT, DASHBOARD_PORT = 8786, 8787
SOURCE_ZIP = "source.zip"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One attempt, resolved; ``address`` is None until the scheduler's Service has its IP."""

    run: str
    namespace: str
    uid: str
    attempt: int
    mode: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    minimum: int
    maximum: int
    start_deadline: int
    deadline: int | None
    channel_url: str
    address: str | None
    dashboard: str | None
    runner: Mapping[str, Any]
    scheduler: Mapping[str, Any] | None
    worker: Mapping[str, Any] | None
    scheduler_timeout: int = SCHEDULER_TIMEOUT
    workers_timeout: int = WORKERS_TIMEOUT
    strict_environment: bool = False
    source: Mapping[str, Any] | None = (
        None  # the volume that scheduler and workers get the source from
    )
    # Who reaches the dashboard beside the cluster's own pods; None: it has no policy.
    network_policy: Sequence[Mapping[str, Any]] | None = None

    @property
    def base(self) -> str:
        """The name that all names of the attempt start with."""
        return names.attempt_name(self.run, self.uid, self.attempt)

    def at(self, cluster_ip: str) -> Self:
        """Return the plan with the scheduler at this IP: no DNS on the critical path."""
        host = f"[{cluster_ip}]" if ":" in cluster_ip else cluster_ip
        return replace(
            self,
            address=f"tcp://{host}:{COMM_PORT}",
            dashboard=f"http://{host}:{DASHBOARD_PORT}",
        )

    def without_templates(self) -> Self:
        """Return what is needed once the runner's pod is made: small enough for an annotation."""
        return replace(
            self, runner={}, scheduler=None, worker=None, source=None, network_policy=None
        )

    def to_json(self) -> str:
        """Write the plan as one line."""
        # Not asdict(): it would copy every pod template, field by field.
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps(own, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a plan of an agent of another version, too: what this one does not know is left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in json.loads(text).items() if key in known})


def make_plan(config: AgentConfig, run: FlowRun, mode: str, attempt: int) -> Plan:
    """Resolve a run against the release's settings; raises UsageError if they do not fit."""
    spec = run.spec
    base = names.attempt_name(run.name, run.uid, attempt)
    profile = config.profile(spec.profile)
    low, high = _bounds(config, profile, run, mode)
    own = mode == "ephemeral"
    static = config.static if mode == "static" else None
    if mode == "static" and static is None:
        raise UsageError("the release has no static cluster", where="spec.mode", do="leave it out")
    return Plan(
        run=run.name,
        namespace=run.namespace,
        uid=run.uid,
        attempt=attempt,
        mode=mode,
        labels=config.labels,
        annotations=config.annotations,
        minimum=low,
        maximum=high,
        start_deadline=_or(spec.start_deadline, profile.runs.start_deadline),
        deadline=_or(spec.deadline, profile.runs.deadline),
        channel_url=config.channel.url,
        address=static.address if static else None,
        dashboard=(static.dashboard or None) if static else None,
        runner=_role_template(config, profile, run, "runner", base),
        scheduler=_role_template(config, profile, run, "scheduler", base) if own else None,
        worker=_role_template(config, profile, run, "worker", base) if own else None,
        scheduler_timeout=profile.runs.scheduler_timeout,
        workers_timeout=profile.runs.workers_timeout,
        strict_environment=profile.runs.strict_environment,
        source=source_volume(spec, base) if own else None,
        network_policy=profile.ephemeral.network_policy if own else None,
    )


def source_volume(spec: Spec, base: str) -> dict[str, Any] | None:
    """Return the volume with a run's source: files by their paths, or one zip; None without source."""
    if spec.files:
        items = [{"key": f"source-{n}", "path": f["path"]} for n, f in enumerate(spec.files)]
        return {"name": base, "items": items}
    if spec.source_config_map:
        zipped = spec.source_config_map
        items = [{"key": zipped.get("key", SOURCE_ZIP), "path": SOURCE_ZIP}]
        return {"name": zipped["name"], "items": items}
    return None


def ignored_settings(run: FlowRun, mode: str) -> list[str]:
    """Name the fields of a FlowRun that have no effect, and why."""
    spec = run.spec
    notes = []
    if mode != "ephemeral":
        sized = (spec.replicas, spec.minimum, spec.maximum, spec.threads)
        if any(value is not None for value in sized) or spec.worker.image or spec.worker.resources:
            notes.append(f"spec.workers has no effect in mode {mode}")
        if spec.scheduler.image or spec.scheduler.resources:
            notes.append(f"spec.scheduler has no effect in mode {mode}")
        if spec.interruptible:
            notes.append(f"spec.interruptible has no effect in mode {mode}")
    notes += [f"spec.env {e['name']} is set by the agent" for e in spec.env if reserved(e["name"])]
    return notes


def _role_template(
    config: AgentConfig, profile: Profile, run: FlowRun, role: str, base: str
) -> dict[str, Any]:
    template = getattr(profile.templates, role)
    if template is None:
        raise UsageError(
            f"the release has no {role} template",
            where="spec.mode",
            do="leave mode out, or install the chart with agent.allowModeOverride=true",
        )
    patched = patch_template(template, role, role_patch(run.spec, role, config.interruptible))
    patched["metadata"]["labels"] = {**patched["metadata"]["labels"], names.LABEL_CLUSTER: base}
    return patched


def _bounds(config: AgentConfig, profile: Profile, run: FlowRun, mode: str) -> tuple[int, int]:
    if mode == "static" and config.static is not None:
        return config.static.minimum, config.static.minimum
    return run.spec.worker_bounds(profile.ephemeral.minimum, profile.ephemeral.maximum)


def _or(value: int | None, default: int | None) -> Any:
    return default if value is None else value

"""Patch the chart's pod templates with what a FlowRun asks for.

Templates come rendered from the chart and are never rebuilt here: image, resources, environment, labels
and scheduling are laid over them, everything else stays the platform's decision.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dask_flows.flowrun import Spec
from dask_flows.names import GROUP
from dask_flows.sizing import memory_limit, nthreads

# The agent decides these; a run that sets them would talk to another cluster or to nobody.
RESERVED_ENV = frozenset({"DASK_SCHEDULER_ADDRESS", "DASK_WORKER_NAME"})
RESERVED_PREFIX = "DASK_FLOWS_"


@dataclass(frozen=True)
class Patch:
    """What to lay over a template; None and empty leave the template's value."""

    image: str | None = None
    resources: Mapping[str, Any] | None = None
    env: Iterable[Mapping[str, Any]] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    pull_secrets: Iterable[Mapping[str, str]] = ()
    threads: int | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Iterable[Mapping[str, Any]] = ()


def patch_template(template: Mapping[str, Any], container: str, patch: Patch) -> dict[str, Any]:
    """Return a copy of a pod template with the patch applied to it and its named container.

    What is not patched is shared with the template, as in :func:`copy_spec`.
    """
    meta, spec = dict(template.get("metadata") or {}), copy_spec(template["spec"])
    # The platform's own win: a run must not pass for another one, nor change what others act on.
    meta["labels"] = {**patch.labels, **(meta.get("labels") or {})}
    meta["annotations"] = {**patch.annotations, **(meta.get("annotations") or {})}
    _schedule(spec, patch)
    target = find_container(spec, container)
    if patch.image:
        target["image"] = patch.image
    if patch.resources is not None:
        target["resources"] = dict(patch.resources)
    target["env"] = merge_env(target.get("env") or [], patch.env)
    if container == "worker" and (patch.resources is not None or patch.threads is not None):
        _resize(target, patch.threads)
    return {**template, "metadata": meta, "spec": spec}


def copy_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a pod spec whose fields, and those of its containers, may be set.

    What is deeper is shared with the original: replace it, never change it in place.
    """
    return {**spec, "containers": [dict(one) for one in spec["containers"]]}


def find_container(spec: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the container of this name in a pod spec."""
    found: dict[str, Any] = next(c for c in spec["containers"] if c["name"] == name)
    return found


def add_mount(
    spec: dict[str, Any], container: dict[str, Any], volume: Mapping[str, Any], path: str
) -> None:
    """Add a volume to a pod spec and show it to the container, for reading only."""
    spec["volumes"] = [*(spec.get("volumes") or []), dict(volume)]
    mount = {"name": volume["name"], "mountPath": path, "readOnly": True}
    container["volumeMounts"] = [*(container.get("volumeMounts") or []), mount]


def merge_env(
    base: Iterable[Mapping[str, Any]], extra: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Merge by name, later entries win in the earlier one's place (``$(VAR)`` needs the order)."""
    merged: dict[str, dict[str, Any]] = {}
    for entry in (*base, *(e for e in extra if not reserved(e["name"]))):
        merged[entry["name"]] = dict(entry)
    return list(merged.values())


def reserved(name: str) -> bool:
    """Whether a run may not set this environment variable."""
    return name in RESERVED_ENV or name.startswith(RESERVED_PREFIX)


def users_own(keys: Mapping[str, str]) -> dict[str, str]:
    """Return the labels or annotations a run may set: not ours, which tell runs apart."""
    return {k: v for k, v in keys.items() if not k.startswith((GROUP, "app.kubernetes.io/"))}


def role_patch(spec: Spec, role: str, interruptible: Mapping[str, Any]) -> Patch:
    """Return what a FlowRun asks of one role: runner, scheduler or worker."""
    own = {"runner": spec.runner, "scheduler": spec.scheduler, "worker": spec.worker}[role]
    movable = interruptible if role == "worker" and spec.interruptible else {}
    return Patch(
        image=own.image or spec.image,
        resources=own.resources if own.resources is not None else spec.resources,
        env=spec.env,
        labels=users_own(spec.labels),
        annotations=users_own(spec.annotations),
        pull_secrets=spec.image_pull_secrets,
        threads=spec.threads if role == "worker" else None,
        node_selector=movable.get("nodeSelector") or {},
        tolerations=movable.get("tolerations") or (),
    )


def _schedule(spec: dict[str, Any], patch: Patch) -> None:
    secrets = [*(spec.get("imagePullSecrets") or []), *patch.pull_secrets]
    if secrets:
        spec["imagePullSecrets"] = list({s["name"]: dict(s) for s in secrets}.values())
    if patch.node_selector:
        spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), **patch.node_selector}
    if patch.tolerations:
        spec["tolerations"] = [*(spec.get("tolerations") or []), *patch.tolerations]


def _resize(container: dict[str, Any], threads: int | None) -> None:
    args, resources = list(container["args"]), container.get("resources") or {}
    if threads is not None or resources:
        set_flag(args, "--nthreads", str(nthreads(resources, threads)))
    set_flag(args, "--memory-limit", str(memory_limit(resources)))
    container["args"] = args


def set_flag(args: list[str], flag: str, value: str) -> None:
    """Set ``flag value`` in a list of arguments, in place."""
    if flag in args:
        args[args.index(flag) + 1] = value
    else:
        args += [flag, value]

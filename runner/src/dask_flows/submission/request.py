"""Write the objects that ask for a run."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dask_flows.errors import UsageError
from dask_flows.names import GROUP, LABEL_RUN, slug
from dask_flows.submission.pack import Source

SOURCE_KEY = "source.zip"
MAX_NAME = 52


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asked for; ``source`` is None if the flow is in the image."""

    flow: str | None = None
    command: list[str] | None = None
    name: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    source: Source | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    def run_name(self) -> str:
        """Return the name asked for, else a readable one that is not taken by chance."""
        if self.name is not None:
            return self.name
        subject = self.flow.rpartition(":")[2] if self.flow else (self.command or ["run"])[0]
        return f"{slug(subject, 40)}-{secrets.token_hex(3)}"


def manifests_for(request: Request, namespace: str) -> list[dict[str, Any]]:
    """Return the FlowRun, before it the ConfigMap with its source if that is zipped."""
    name = request.run_name()
    if len(name) > MAX_NAME or name != slug(name, MAX_NAME):
        raise UsageError(
            f"{name!r} is not a name for a FlowRun",
            where="--name",
            do=f"use at most {MAX_NAME} lower-case letters, digits and single dashes",
        )
    spec: dict[str, Any] = {
        "flow": request.flow,
        "command": request.command,
        "parameters": dict(request.parameters) or None,
        **request.fields,
    }
    objects: list[dict[str, Any]] = []
    source = request.source
    if source is not None and source.zipped is not None:
        objects.append(_config_map(f"{name}-source", namespace, name, source.zipped))
        spec["source"] = {"configMap": {"name": f"{name}-source", "key": SOURCE_KEY}}
    elif source is not None:
        files = [{"path": p, "content": c.decode()} for p, c in source.files.items()]
        spec["source"] = {"files": files}
    run = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "FlowRun",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }
    return [*objects, run]


def _config_map(name: str, namespace: str, run: str, zipped: bytes) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {LABEL_RUN: run}},
        "binaryData": {SOURCE_KEY: base64.b64encode(zipped).decode()},
    }

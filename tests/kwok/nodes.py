"""Fake nodes of one test: they may be lost without harm to others."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from kube import kubectl

LABEL = "test.dask-flows.dev/nodes"


@contextmanager
def own_nodes(count: int) -> Iterator[tuple[str, list[str]]]:
    """Make nodes that only pods asking for them get; yields the value of their label and their names."""
    group = secrets.token_hex(3)
    names = [f"kwok-{group}-{n}" for n in range(count)]
    items = [_node(name, group) for name in names]
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))  # fmt: skip
    try:
        wanted = [f"node/{name}" for name in names]
        kubectl("wait", "--for=condition=Ready", "--timeout=60s", *wanted)
        yield group, names
    finally:
        kubectl("delete", "nodes", "-l", f"{LABEL}={group}", "--wait=false")


def cut_off(name: str) -> None:
    """Let a node fall silent; Kubernetes takes it for lost 50 s later."""
    kubectl("label", "node", name, "type-")


def remove(name: str) -> None:
    """Delete a node: what ran there is dead for certain."""
    kubectl("delete", "node", name, "--wait=false")


def _node(name: str, group: str) -> dict[str, object]:
    labels = {"type": "kwok", "kubernetes.io/hostname": name, LABEL: group}
    taint = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
    meta = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": {"taints": [taint]}}

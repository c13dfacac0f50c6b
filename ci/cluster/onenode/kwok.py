"""Fake nodes for measurements and faults: kwok plays their kubelets against the real API server.

They are tainted, and pods must ask for them by label: nothing lands on them by chance, and what is meant for
them never reaches the real node.
"""

import json
from pathlib import Path
from typing import Any

from onenode import shell
from onenode.components import Component
from onenode.paths import Paths
from onenode.pki import kubeconfig_path

LABEL = "type=kwok"
TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
STAGES = Path(__file__).resolve().parent.parent / "kwok" / "stages.yaml"
SERVER = "127.0.0.1:10247"
POD_CIDR = "10.240.0.0/16"  # addresses that nothing answers


def component(paths: Paths) -> Component:
    """Describe the process; it is no part of the table, because `up` does not start it."""
    argv = (
        f"{paths.bin}/kwok",
        f"--kubeconfig={kubeconfig_path(paths, 'admin')}",
        f"--config={paths.config}/{STAGES.name}",
        f"--manage-nodes-with-label-selector={LABEL}",
        "--node-lease-duration-seconds=40",
        f"--cidr={POD_CIDR}",
        f"--server-address={SERVER}",
        "--v=WARN",
    )
    return Component(
        "kwok", 3, argv, f"http://{SERVER}/healthz", tool="kwok", config=(STAGES.name,)
    )


def write_config(paths: Paths) -> None:
    """Copy the stages to where kwok reads them."""
    (paths.config / STAGES.name).write_text(STAGES.read_text())


def node(number: int) -> dict[str, Any]:
    """Return a fake node, counted from 0."""
    name = f"kwok-{number}"
    key, _, value = LABEL.partition("=")
    labels = {key: value, "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    meta = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": {"taints": [TAINT]}}


def make_nodes(count: int, paths: Paths) -> None:
    """Make so many nodes and wait until they are ready."""
    items = {"apiVersion": "v1", "kind": "List", "items": [node(n) for n in range(count)]}
    kubectl(paths, "apply", "--server-side", "-f", "-", text_in=json.dumps(items))
    names = [f"node/kwok-{n}" for n in range(count)]
    kubectl(paths, "wait", "--for=condition=Ready", "--timeout=60s", *names)


def remove_nodes(paths: Paths) -> None:
    """Delete the fake nodes; Kubernetes deletes their pods some time later."""
    kubectl(paths, "delete", "nodes", f"--selector={LABEL}", "--wait=false")


def kubectl(paths: Paths, *args: str, text_in: str | None = None) -> str:
    """Run kubectl as the cluster's administrator."""
    command = (f"{paths.bin}/kubectl", f"--kubeconfig={paths.kubeconfig}", *args)
    return shell.run(command, seconds=90, text_in=text_in)

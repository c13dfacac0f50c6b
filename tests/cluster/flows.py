"""The examples as a person submits them, and inline flows for the hard cases."""

import json
import os
import sys
from typing import Any

from kube import Kube, run

EXAMPLES: dict[str, list[str]] = {
    "diamond": ["examples/01-diamond/flow.py:diamond"],
    "etl": ["examples/02-etl/flow.py:etl"],
    "command": ["--", "python", "examples/03-command/script.py"],
    "package": ["examples/04-package/flow.py:report"],
}
OWN_IMAGE = os.environ.get("OWN_IMAGE", "registry.local/dask-flows-own:dev")


def submit(kube: Kube, *args: str, name: str, check: bool = True) -> str:
    """Run ``dask-flows submit`` from the checkout; returns what it printed."""
    command = [sys.executable, "-m", "dask_flows", "submit", "-n", kube.namespace, "--name", name]
    return run(*command, *args, check=check, timeout=300)


def cli(kube: Kube, *args: str, check: bool = True) -> str:
    """Run another command of the CLI."""
    return run(sys.executable, "-m", "dask_flows", *args, "-n", kube.namespace, check=check)


def inline(kube: Kube, name: str, code: str, flow: str = "flow.py:main", **spec: Any) -> None:
    """Create a FlowRun whose source is this text."""
    source = {"files": [{"path": "flow.py", "content": code}]}
    kube.create("flowruns", flow_run(name, flow=flow, source=source, **spec))


def flow_run(name: str, **spec: Any) -> dict[str, Any]:
    """Return a FlowRun object."""
    return {
        "apiVersion": "dask-flows.dev/v1alpha1",
        "kind": "FlowRun",
        "metadata": {"name": name},
        "spec": spec,
    }


def cancel(kube: Kube, name: str) -> None:
    """Ask for the end of a run."""
    kube.patch("flowruns", name, {"spec": {"cancel": True}})


def result(status: dict[str, Any]) -> Any:
    """Return a run's result; fails with the whole status if it has none."""
    assert status["phase"] == "Succeeded", json.dumps(status, indent=1)
    return status.get("result")

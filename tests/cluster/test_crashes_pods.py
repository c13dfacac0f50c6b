"""The failpoints of a plain run with the installed chart and real pods; the flows themselves count their beginnings."""

import json
from typing import Any

import pytest

import flows
import invariants
from invariants.counter import Counter, counting
from kube import Kube, eventually, kubectl
from release import Release

CODE = """
from distributed import get_client


def main() -> int:
    return get_client().submit(pow, 3, 2).result()
"""
# What a run that just succeeds consists of; the rare steps are met on fake nodes (test_crashes.py).
STATIC = ("claim", "job", "secret", "start", "running", "finish", "ttl", "cleaned")
CLUSTER = (
    "service",
    "configmap",
    "scheduler",
    "worker",
    "delete-cluster",
    "delete-service",
    "delete-configmap",
)
STEPS = {"static": STATIC, "ephemeral": (*STATIC, *CLUSTER)}
KILLED = 137

pytestmark = pytest.mark.full


def address(kube: Kube) -> str:
    """Return the address of a real node, which pods reach."""
    nodes = kube.request("GET", "/api/v1/nodes?labelSelector=type!=kwok")["items"]
    found = nodes[0]["status"]["addresses"]
    return next(str(one["address"]) for one in found if one["type"] == "InternalIP")


def arm(release: Release, point: str) -> None:
    """Start the agent anew with a failpoint, or without one, as only who may edit Deployments can."""
    name = f"{release.fullname}-agent"
    deployment = release.kube.get("deployments", name)
    assert deployment is not None
    args: list[str] = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    kept = args[: args.index("--failpoint")] if "--failpoint" in args else args
    path = "/spec/template/spec/containers/0/args"
    wanted = [*kept, "--failpoint", point] if point else kept
    patch = json.dumps([{"op": "replace", "path": path, "value": wanted}])
    kubectl(
        "patch", "deployment", name, "-n", release.kube.namespace, "--type", "json", "-p", patch
    )
    release.wait_ready()


def deaths(kube: Kube) -> int:
    """Count the agent's ends with 137."""
    statuses = [
        status
        for pod in kube.list("pods", "app.kubernetes.io/component=agent")
        for status in pod["status"].get("containerStatuses") or []
    ]
    return sum(_ended(status) for status in statuses)


def _ended(status: dict[str, Any]) -> bool:
    states = (status.get("state") or {}, status.get("lastState") or {})
    return any(state.get("terminated", {}).get("exitCode") == KILLED for state in states)


@pytest.mark.parametrize("mode", STEPS)
def test_every_failpoint_with_real_pods(kube: Kube, release: Release, mode: str) -> None:
    """Row 1: the agent's container ends with 137 at each; every run succeeds, begun once."""
    release.install(mode, ephemeral={"minimum": 1, "maximum": 1})
    points = [f"{step}:{moment}" for step in STEPS[mode] for moment in ("before", "after")]
    with counting(address(kube)) as counter:
        for point in points:
            arm(release, point)
            name = point.replace(":", "-")
            flows.inline(kube, name, CODE + (counter.confession() if counter else ""))
            eventually(lambda: deaths(kube), 120, lambda: f"{name}: {kube.run_status(name)}")  # noqa: B023 - called in the loop
            arm(release, "")
            assert flows.result(kube.wait_run(name, timeout=120)) == 9
        check(kube, counter, 3 * len(points))


def check(kube: Kube, counter: Counter | None, restarts: int) -> None:
    """Fail unless all invariants hold; a container that restarts dies more often than it is armed."""
    runs = [run["metadata"]["uid"] for run in kube.list("flowruns")]
    starts = counter.starts if counter else None
    invariants.check(kube, starts=starts, counted=runs if counter else (), restarts=restarts)

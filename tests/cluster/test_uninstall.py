"""Removing the release in the middle of a run."""

import pytest

import flows
from kube import Kube, eventually, kubectl
from namespaces import make_namespace, remove_namespace
from release import Release

HOLD = "import time\ndef main(): time.sleep(120)\n"


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
def test_uninstall_leaves_no_pod_and_keeps_the_runs(api: Kube, mode: str) -> None:
    """Row 33: pods go; FlowRuns and the CRD are data and stay."""
    kube = make_namespace(api, "gone")
    try:
        release = Release(kube)
        release.install(mode)
        flows.inline(kube, "held", HOLD)
        kube.wait_run("held", "Running", timeout=60)

        release.uninstall()

        eventually(
            lambda: not kube.list("pods"), 90, lambda: kubectl("get", "pods", "-n", kube.namespace)
        )
        assert kube.get("flowruns", "held") is not None
        assert "flowruns" in kubectl("get", "crd", "flowruns.dask-flows.dev", "-o", "name")
    finally:
        remove_namespace(kube)

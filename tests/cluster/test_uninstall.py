"""Removing the release in the middle of a run."""

import pytest

import flows
import invariants
from invariants.evidence import has_condition
from kube import Kube, Object, eventually, kubectl
from namespaces import make_namespace, remove_namespace
from release import Release

HOLD = "import time\ndef main(): time.sleep(120)\n"
# What the chart and the agent make, and what Kubernetes makes of it.
KINDS = (
    "pods,jobs,services,networkpolicies,configmaps,secrets,deployments,replicasets,leases,serviceaccounts,roles,"
    "rolebindings"
)
SEEN = {"pod", "job.batch", "service", "configmap", "secret"}  # before, else nothing is proven
SEEN_OF_MODE = {"static": SEEN, "ephemeral": SEEN | {"networkpolicy.networking.k8s.io"}}


def left(kube: Kube) -> list[str]:
    """Return the objects with the release's name in their labels, as ``kind/name``."""
    labels = "app.kubernetes.io/instance=flows"
    return kubectl(
        "get", KINDS, "-n", kube.namespace, "-l", labels, "-o", "name", "--ignore-not-found"
    ).split()


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
def test_uninstall_leaves_no_pod_and_keeps_the_runs(api: Kube, mode: str) -> None:
    """Row 33: no object of the release is left but FlowRuns and the CRD, which are data; a run under way is Cancelled.

    A run that is over keeps its end, and one that nobody has claimed stays as it is.
    """
    kube = make_namespace(api, "gone")
    try:
        release = Release(kube)
        release.install(mode)
        flows.inline(kube, "held", HOLD)
        flows.inline(kube, "done", "def main(): return 1\n")
        flows.inline(kube, "later", HOLD, suspend=True)
        kept = {"later": kube.wait_run("later", "Suspended", timeout=60)}
        kept["done"] = _cleaned_up(kube, "done")
        kube.wait_run("held", "Running", timeout=60)
        assert {name.partition("/")[0] for name in left(kube)} >= SEEN_OF_MODE[mode]

        release.uninstall()

        eventually(lambda: not left(kube), 90, lambda: ", ".join(left(kube)))
        assert kube.list("pods") == []
        status = kube.run_status("held")
        assert (status["phase"], status["reason"]) == ("Cancelled", "Cancelled"), status
        assert status["message"] == "the release was uninstalled during the run"
        assert status["finishTime"]
        assert {name: kube.run_status(name) for name in kept} == kept
        assert "flowruns" in kubectl("get", "crd", "flowruns.dask-flows.dev", "-o", "name")
        kubectl("delete", "flowrun", "later", "-n", kube.namespace)  # the others are to have ended
        invariants.check(kube, agents=())
    finally:
        remove_namespace(kube)


def _cleaned_up(kube: Kube, name: str) -> Object:
    """Return a run's last status: what was left of it is gone."""

    def last() -> Object | None:
        status = kube.run_status(name)
        return status if has_condition(status, "CleanedUp") else None

    status: Object = eventually(last, 90, lambda: f"{name}: {kube.run_status(name)}")
    return status

"""The control plane or the network goes away for a while; only on the cluster that this machine runs."""

import sys
import time

import pytest

import flows
import harm
from kube import Kube, eventually, run
from release import ROOT, Release
from troubles import ONCE, TASKS

SHORT = "import time\ndef main():\n    time.sleep(10)\n    return 'short'\n"
LONG = "import time\ndef main():\n    time.sleep(45)\n    return 'long'\n"
AGENT = "app.kubernetes.io/component=agent"


@pytest.mark.full
@pytest.mark.parametrize(
    ("component", "seconds"),
    [
        pytest.param("apiserver", 20, id="apiserver"),
        pytest.param("etcd", 5, id="etcd"),
    ],
)
def test_the_control_plane_goes_away(
    kube: Kube, release: Release, component: str, seconds: int
) -> None:
    """Row 12: runs go on and end meanwhile, the agent stays up and catches up. Row 15: so with etcd."""
    release.install("static")
    (agent,) = kube.list("pods", AGENT)
    flows.inline(kube, "short", SHORT)
    flows.inline(kube, "long", LONG)
    for name in ("short", "long"):
        kube.wait_run(name, "Running", timeout=90)

    run(
        sys.executable, str(ROOT / "ci" / "cluster"), "outage", component, str(seconds), timeout=120
    )

    assert flows.result(kube.wait_run("short", timeout=30)) == "short"
    flows.inline(kube, "next", "def main(): return 1\n")
    kube.wait_run("next", "Starting", "Running", "Succeeded", timeout=30)
    assert flows.result(kube.wait_run("long", timeout=120)) == "long"
    assert {kube.run_status(name)["attempt"] for name in ("short", "long")} == {1}
    assert flows.result(kube.wait_run("next", timeout=60)) == 1
    assert harm.restarts(kube, agent["metadata"]["name"]) == 0


@pytest.mark.full
def test_a_short_partition_does_no_harm(kube: Kube, release: Release) -> None:
    """Row 35: 20 s without a packet between runner and scheduler: less than its patience, right result."""
    name = "short-cut"
    release.install("ephemeral")
    flows.inline(kube, name, TASKS.replace("range(24)", "range(60)"))
    kube.wait_run(name, "Running", timeout=90)
    scheduler = f"{kube.run_status(name)['clusterName']}-scheduler"

    with harm.Cut(kube, harm.runner_of(kube, name), scheduler):
        _pass(20)

    assert flows.result(kube.wait_run(name, timeout=120)) == sum(range(60))


@pytest.mark.full
def test_a_long_partition_loses_the_scheduler(kube: Kube, release: Release) -> None:
    """Row 35: longer than the run's patience: the attempt ends with the reason, on both sides."""
    name = "long-cut"
    release.install("ephemeral", runs={"schedulerTimeoutSeconds": 10})
    flows.inline(kube, name, TASKS.replace("range(24)", "range(600)"), **ONCE)
    kube.wait_run(name, "Running", timeout=90)
    scheduler = f"{kube.run_status(name)['clusterName']}-scheduler"

    with harm.Cut(kube, harm.runner_of(kube, name), scheduler):
        status = kube.wait_run(name, timeout=180)

    assert (status["phase"], status["reason"]) == ("Failed", "SchedulerLost"), status


def _pass(seconds: float) -> None:
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > end, seconds + 5)

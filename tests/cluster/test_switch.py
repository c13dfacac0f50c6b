"""Switching modes while a run is under way: it finishes where it started, or the upgrade says why not."""

import time

import pytest

import flows
from kube import Kube, eventually, kubectl
from release import Release

# 01 as it is: its ten pauses of 12 s last a minute on two workers.
MINUTE = ["-p", "pause=12", "--workers", "2"]


def start_holding(kube: Kube, name: str) -> None:
    """Start 01 so that it keeps its cluster busy for a minute; returns once it runs."""
    flows.submit(kube, *flows.EXAMPLES["diamond"], *MINUTE, name=name)
    kube.wait_run(name, "Running", timeout=60)


def job_uid(kube: Kube, name: str) -> str:
    """Return the UID of the run's Job."""
    job = kube.get("jobs", kube.run_status(name)["jobName"])
    assert job is not None
    return job["metadata"]["uid"]


def test_ephemeral_to_static_never_waits(kube: Kube, release: Release) -> None:
    """Row 31: the run owns its cluster; nothing the upgrade changes touches it."""
    release.install("ephemeral")
    start_holding(kube, "hold")
    uid = job_uid(kube, "hold")

    begin = time.monotonic()
    release.upgrade("mode=static")
    took = time.monotonic() - begin

    status = kube.wait_run("hold", timeout=120)
    assert (status["phase"], status["attempt"], status["mode"]) == ("Succeeded", 1, "ephemeral")
    assert job_uid(kube, "hold") == uid
    assert took < 20


def test_static_to_ephemeral_waits_for_the_run(kube: Kube, release: Release) -> None:
    """Row 31: the hook drains: the run ends Succeeded in the same attempt, then the cluster goes."""
    release.install("static")
    start_holding(kube, "hold")
    uid = job_uid(kube, "hold")

    release.upgrade("mode=ephemeral", "upgrade.drainSeconds=120")

    status = kube.run_status("hold")
    assert (status["phase"], status["attempt"], status["mode"]) == ("Succeeded", 1, "static")
    assert job_uid(kube, "hold") == uid
    release.wait_ready()
    flows.submit(kube, *flows.EXAMPLES["diamond"], name="after")
    assert kube.wait_run("after")["mode"] == "ephemeral"


@pytest.mark.parametrize("case", ["agent-up", "agent-down", "helm-killed"])
def test_a_drain_that_takes_too_long_changes_nothing(
    kube: Kube, release: Release, case: str
) -> None:
    """Row 31: helm fails with the run's name, workloads stay as they are, and claims resume."""
    release.install("static", static={"workers": {"replicas": 2}})
    start_holding(kube, "hold")
    before = release.static_versions()
    assert set(before) == {"scheduler", "worker"}
    agent = f"deployment/{release.fullname}-agent"
    if case == "agent-down":
        kubectl("scale", "-n", kube.namespace, agent, "--replicas=0")

    process = release.start_upgrade("mode=ephemeral", "upgrade.drainSeconds=5")
    if case == "helm-killed":
        eventually(lambda: kube.get("leases", f"{release.fullname}-pause"), 30)
        process.kill()
        process.communicate(timeout=10)
    else:
        output, _ = process.communicate(timeout=90)
        assert process.returncode != 0
        assert "hold" in output, output
    if case == "agent-down":
        kubectl("scale", "-n", kube.namespace, agent, "--replicas=1")
        release.wait_ready()

    flows.inline(kube, "next", "def main(): return 1")
    kube.wait_run(
        "next", "Starting", "Running", "Succeeded", timeout=10 if case != "helm-killed" else 20
    )
    assert release.static_versions() == before
    assert kube.wait_run("hold", timeout=120)["phase"] == "Succeeded"
    assert kube.wait_run("next", timeout=60)["mode"] == "static"

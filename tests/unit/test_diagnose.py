"""Rules of diagnosis: Kubernetes' evidence becomes one stable reason and a message with three parts."""

from typing import Any

import pytest

from dask_flows.diagnose import diagnose_end, diagnose_pod, diagnose_refusal, diagnose_start

CONTAINER = {
    "name": "runner",
    "image": "example.org/flows:1",
    "resources": {"limits": {"memory": "1Gi"}},
}


def pod(**status: Any) -> dict[str, Any]:
    """Return a runner pod with this status."""
    return {"metadata": {"name": "p"}, "spec": {"containers": [CONTAINER]}, "status": status}


def waiting(reason: str, message: str = "m", image: str = "example.org/flows:1") -> dict[str, Any]:
    """Return a pod whose container waits."""
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(
        phase="Pending", containerStatuses=[{"name": "runner", "image": image, "state": state}]
    )


def terminated(why: str, code: int, **status: Any) -> dict[str, Any]:
    """Return a pod whose container has ended."""
    state = {"terminated": {"reason": why, "exitCode": code}}
    return pod(phase="Failed", containerStatuses=[{"name": "runner", "state": state}], **status)


def disrupted(reason: str, /, **status: Any) -> dict[str, Any]:
    """Return a pod that the platform took away."""
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "m"}
    return terminated("Error", 137, conditions=[condition], **status)


UNSCHEDULABLE = pod(
    phase="Pending",
    conditions=[
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
         "message": "0/3 nodes are available: 3 Insufficient cpu."}
    ],
)  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "reason", "final"),
    [
        (waiting("ErrImagePull"), "ImagePull", False),
        (waiting("ImagePullBackOff"), "ImagePull", False),
        (waiting("ErrImageNeverPull"), "ImagePull", False),
        (waiting("InvalidImageName"), "ImagePull", True),
        (waiting("CreateContainerConfigError"), "ContainerStart", False),
        (waiting("CreateContainerError"), "ContainerStart", False),
        (waiting("RunContainerError"), "ContainerStart", False),
        (waiting("CrashLoopBackOff"), "ContainerStart", False),
        (UNSCHEDULABLE, "Unschedulable", False),
    ],
)
def test_why_a_pod_does_not_start(seen: dict[str, Any], reason: str, final: bool) -> None:
    """As soon as Kubernetes says it; final only if waiting cannot help."""
    found = diagnose_start(seen, "runner")

    assert found is not None
    assert (found.reason, found.final) == (reason, final)
    assert "runner pod p" in found.message


@pytest.mark.parametrize(
    "seen",
    [
        {},
        pod(),
        pod(phase="Running"),
        waiting("ContainerCreating"),
        waiting("PodInitializing"),
        pod(conditions=[{"type": "PodScheduled", "status": "True"}]),
    ],
    ids=str,
)
def test_nothing_is_wrong_with_a_pod_that_is_on_its_way(seen: dict[str, Any]) -> None:
    """No reason is better than a wrong one."""
    assert diagnose_pod(seen, "runner") is None


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (terminated("OOMKilled", 137), "OutOfMemory"),
        (terminated("StartError", 128), "ContainerStart"),
        (terminated("ContainerCannotRun", 127), "ContainerStart"),
        (pod(phase="Failed", reason="Evicted", message="low on memory"), "Evicted"),
        (disrupted("EvictionByEvictionAPI"), "Evicted"),
        (disrupted("TerminationByKubelet"), "Evicted"),
        (disrupted("PreemptionByScheduler"), "Preempted"),
        (disrupted("PreemptionByKubeScheduler"), "Preempted"),
        (disrupted("DeletionByTaintManager"), "NodeLost"),
        (disrupted("DeletionByPodGC"), "NodeLost"),
        (pod(phase="Failed", reason="Terminated", message="node shutdown"), "NodeLost"),
        # pkg/kubelet/nodeshutdown of Kubernetes: the same word as for an eviction, and its own reason
        (disrupted("TerminationByKubelet", reason="Terminated"), "NodeLost"),
        (
            pod(phase="Failed", reason="OutOfcpu", message="Node didn't have enough"),
            "ContainerStart",
        ),
    ],
)
def test_what_ended_a_pod_from_outside(seen: dict[str, Any], reason: str) -> None:
    """The platform's part in it, never the flow's."""
    found = diagnose_end(seen, "runner")

    assert found is not None
    assert found.reason == reason


@pytest.mark.parametrize(
    "seen",
    [
        terminated("Error", 1),
        terminated("Error", 137),
        terminated("Error", 143, reason="DeadlineExceeded"),
        pod(phase="Succeeded"),
    ],
    ids=["failed", "killed", "our own deadline", "succeeded"],
)
def test_a_program_that_ended_by_itself_has_no_diagnosis(seen: dict[str, Any]) -> None:
    """Its exit code speaks."""
    assert diagnose_end(seen, "runner") is None


@pytest.mark.parametrize(
    ("image", "advice"),
    [
        ("registry.local/flows:dev", "load it into the cluster"),
        ("flows:dev", "load it into the cluster"),
        ("localhost:5000/flows", "load it into the cluster"),
        ("ghcr.io/org/flows:1", "imagePullSecrets"),
    ],
)
def test_a_missing_image_comes_with_the_way_out(image: str, advice: str) -> None:
    """Build and load for a local name, registry and pull secret for the others."""
    found = diagnose_start(waiting("ErrImagePull", "not found", image), "runner")

    assert found is not None
    assert image in found.message
    assert "not found" in found.message
    assert advice in found.message


def test_the_memory_limit_is_named() -> None:
    """It is what a person can raise."""
    found = diagnose_end(terminated("OOMKilled", 137), "runner")

    assert found is not None
    assert "limit of 1Gi" in found.message


def test_a_refusal_keeps_the_server_s_words() -> None:
    """They name the quota or the rule."""
    found = diagnose_refusal("QuotaExceeded", "exceeded quota: small", "pod p")

    assert found.message.startswith("exceeded quota: small (pod p): ")


def test_long_messages_are_one_short_line() -> None:
    """Status is read in a table."""
    found = diagnose_start(waiting("ErrImagePull", "a\n  b\n" + "x" * 5000), "runner")

    assert found is not None
    assert "\n" not in found.message
    assert len(found.message) < 1200

"""Faults of the real world, each with the reason that status must name, and nothing left behind.

One release for all: static, with a few ephemeral runs. Infrastructure failures are not retried here, so
that each reason stays to be seen.
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest

import flows
import harm
import stuck
from flows import OWN_IMAGE
from kube import Kube, eventually, kubectl
from namespaces import make_namespace
from release import CHART, Release
from troubles import (
    HOLD,
    HUNGRY,
    LOOK_AROUND,
    MARKED,
    OBEDIENT,
    ONCE,
    RUNNERS,
    SIGKILL,
    SIGSTOP,
    SMALL,
    STUCK,
    TASKS,
)

Statuses = dict[str, dict[str, Any]]
Delays = dict[str, tuple[dict[str, Any], float]]


@pytest.fixture(scope="module")
def installed(api: Kube) -> Iterator[Kube]:
    """A namespace with a static release that notices losses soon; the last test removes the namespace."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CHART / "crds"))
    kube = make_namespace(api, "faults")
    Release(kube).install(
        "static",
        agent={"allowModeOverride": True},
        runner={"tmpSizeLimit": "32Mi", "terminationGracePeriodSeconds": 5, "resources": SMALL},
        dask={"scheduler": {"resources": SMALL}, "worker": {"resources": SMALL}},
        runs={"schedulerTimeoutSeconds": 10, "workersTimeoutSeconds": 15},
        static={"workers": {"replicas": 1, "minimum": 1}},
    )
    yield kube
    kubectl("delete", "namespace", kube.namespace, "--ignore-not-found", "--timeout=120s")


def start(kube: Kube, name: str, code: str = HOLD, **spec: Any) -> None:
    """Submit a flow whose failures stay."""
    flows.inline(kube, name, code, **{**ONCE, **spec})


@pytest.fixture(scope="module")
def ended(installed: Kube) -> Statuses:
    """How the runs ended whose runners were harmed, all at once."""
    for name, case in RUNNERS.items():
        if case.code is OBEDIENT:
            command = flows.flow_run(name, command=["python", "-c", OBEDIENT], **ONCE)
            installed.create("flowruns", command)
        else:
            start(installed, name, case.code)
    for name, case in RUNNERS.items():
        installed.wait_run(name, "Running", "Failed", timeout=90)
        case.harm(installed, name)
    return {name: installed.wait_run(name, timeout=90) for name in RUNNERS}


def check(statuses: Statuses, name: str) -> None:
    """Compare a run's end with its case."""
    status = statuses[name]
    assert (status["phase"], status["reason"]) == ("Failed", RUNNERS[name].reason), status
    assert RUNNERS[name].says in status["message"], status
    assert status["attempt"] == 1


@pytest.mark.parametrize("name", ["sigkill", "sigterm"])
def test_a_runner_that_gets_a_signal(installed: Kube, ended: Statuses, name: str) -> None:
    """Row 4: the attempt failed, and the message says by what."""
    check(ended, name)


@pytest.mark.parametrize("name", ["drained", "drained-flow"])
def test_a_drained_runner_that_exits_0(installed: Kube, ended: Statuses, name: str) -> None:
    """Row 5: a command or a flow that was told to stop, obeyed and exited 0 did not succeed."""
    check(ended, name)


def test_a_deleted_job(installed: Kube, ended: Statuses) -> None:
    """Row 7: the run failed; nobody makes the Job again."""
    check(ended, "job-gone")
    assert installed.get("jobs", ended["job-gone"]["jobName"]) is None


def test_a_runner_out_of_memory(installed: Kube, ended: Statuses) -> None:
    """Row 21: the kernel ends it before it can say a word; status names the limit."""
    check(ended, "memory")


def test_a_full_disk(installed: Kube, ended: Statuses) -> None:
    """Row 22: the kubelet evicts what writes more than its volume may hold; its words name the limit."""
    check(ended, "disk")


def test_a_second_pod_of_an_attempt(installed: Kube) -> None:
    """Row 6: it exits 96 without an import of the flow, and the first one does not notice."""
    start(installed, "doubled", MARKED)
    installed.wait_run("doubled", "Running", timeout=60)
    copy = harm.double(installed, harm.runner_of(installed, "doubled"))

    def end() -> dict[str, Any]:
        status = (installed.get("pods", copy) or {})["status"].get("containerStatuses") or [{}]
        return dict(status[0].get("state", {}).get("terminated") or {})

    assert eventually(end, 60)["exitCode"] == 96
    assert "imported" not in installed.logs(copy)
    assert installed.run_status("doubled")["phase"] == "Running"
    installed.delete("pods", copy, grace=0)
    flows.cancel(installed, "doubled")
    assert installed.wait_run("doubled", timeout=40)["phase"] == "Cancelled"


# Seconds. 5 are promised, and the times that Kubernetes writes are cut to whole seconds.
LATEST = 6.0


@pytest.fixture(scope="module")
def delays(installed: Kube) -> Delays:
    """The first status with a reason of each stuck run, and how long after Kubernetes' word it came."""
    return stuck.delays(installed)


@pytest.mark.parametrize("name", ["image", "image-s", "image-w"])
def test_an_image_that_cannot_be_pulled(installed: Kube, delays: Delays, name: str) -> None:
    """Row 18: status names the image soon after the kubelet does, whichever pod it is."""
    _shown(delays, name)


@pytest.mark.parametrize("name", ["cpu", "cpu-w"])
def test_a_pod_that_fits_no_node(installed: Kube, delays: Delays, name: str) -> None:
    """Row 19: status has the scheduler's message soon after it was written."""
    _shown(delays, name)


@pytest.mark.parametrize("name", ["secret", "source"])
def test_what_a_pod_needs_is_not_there(installed: Kube, delays: Delays, name: str) -> None:
    """A Secret in the environment, said by the container; a volume, said by an event alone."""
    _shown(delays, name)


def _shown(delays: Delays, name: str) -> None:
    status, seconds = delays[name]
    assert (status["phase"], status["reason"]) == ("Starting", STUCK[name].reason), status
    assert STUCK[name].says in status["message"], status
    assert seconds < LATEST, (name, seconds)


def test_a_scheduler_that_is_killed(installed: Kube) -> None:
    """Row 8: the attempt's cluster is lost with it, and said so."""
    start(installed, "killed", mode="ephemeral")
    installed.wait_run("killed", "Running", timeout=90)

    harm.signal(installed, f"{installed.run_status('killed')['clusterName']}-scheduler", SIGKILL)

    status = installed.wait_run("killed", timeout=90)
    assert (status["phase"], status["reason"]) == ("Failed", "SchedulerLost"), status
    assert "exit code 137" in status["message"], status


@pytest.mark.full
def test_a_scheduler_that_is_frozen(installed: Kube) -> None:
    """Row 9: nothing ends, nothing answers; the runner's watch notices in the time it was given."""
    start(installed, "frozen", mode="ephemeral")
    installed.wait_run("frozen", "Running", timeout=90)

    harm.signal(installed, f"{installed.run_status('frozen')['clusterName']}-scheduler", SIGSTOP)

    status = installed.wait_run("frozen", timeout=90)
    assert (status["phase"], status["reason"]) == ("Failed", "SchedulerLost"), status
    assert "no sign of life" in status["message"], status


def test_a_worker_that_is_killed(installed: Kube) -> None:
    """Row 10: its tasks run again on the others; the result is right, in the same attempt."""
    start(installed, "worker-gone", TASKS, mode="ephemeral", workers={"replicas": 2})
    installed.wait_run("worker-gone", "Running", timeout=90)
    eventually(lambda: int(installed.run_status("worker-gone").get("workers") or 0) == 2, 60)

    harm.signal(
        installed, harm.pods_of(installed, "worker-gone", "worker")[0]["metadata"]["name"], SIGKILL
    )

    status = installed.wait_run("worker-gone", timeout=90)
    assert flows.result(status) == sum(range(24))
    assert status["attempt"] == 1


@pytest.mark.full
def test_all_workers_are_gone(installed: Kube) -> None:
    """Row 10: no worker is left and none comes: the run says so when its patience ends."""
    workers = "deployment/flows-dask-flows-worker"
    start(installed, "no-workers", TASKS.replace("range(24)", "range(600)"))
    installed.wait_run("no-workers", "Running", timeout=60)
    try:
        kubectl("scale", "-n", installed.namespace, workers, "--replicas=0")
        kubectl("delete", "pods", "-n", installed.namespace, "--now", "-l",
                "app.kubernetes.io/component=worker,!dask-flows.dev/run")  # fmt: skip
        status = installed.wait_run("no-workers", timeout=90)
    finally:
        kubectl("scale", "-n", installed.namespace, workers, "--replicas=1")
        Release(installed).wait_ready()

    assert (status["phase"], status["reason"]) == ("Failed", "WorkersLost"), status


@pytest.mark.full
@pytest.mark.parametrize("name", HUNGRY)
def test_a_worker_out_of_memory(installed: Kube, name: str) -> None:
    """Row 21: the run fails, and its message names the task that ended the worker."""
    start(installed, name, **HUNGRY[name].spec)

    status = installed.wait_run(name, timeout=240)

    assert (status["phase"], status["reason"]) == ("Failed", HUNGRY[name].reason), status
    assert HUNGRY[name].says in status["message"], status


def test_a_flow_has_no_key_to_the_api_server(installed: Kube) -> None:
    """Row 40: no token file in runner or worker; the API server refuses them as any stranger, with 401 or 403."""
    start(installed, "curious", LOOK_AROUND)

    found = flows.result(installed.wait_run("curious", timeout=90))

    refused = harm.answer_to_strangers()
    assert refused in ("401", "403")
    assert found == {"worker": [False, refused], "runner": [False, refused]}


def test_an_upgrade_in_the_middle_of_a_run(installed: Kube) -> None:
    """Row 30: a run keeps its image and its cluster; the next one gets the new image."""
    old = {pod["spec"]["containers"][0]["image"] for pod in installed.list("pods")}
    start(installed, "kept", "import time\ndef main():\n    time.sleep(25)\n", mode="ephemeral")
    installed.wait_run("kept", "Running", timeout=90)
    before = {p["metadata"]["uid"] for p in installed.list("pods", "dask-flows.dev/run=kept")}
    repository, _, tag = OWN_IMAGE.rpartition(":")

    Release(installed).upgrade(
        f"image.repository={repository}", f"image.tag={tag}", "upgrade.force=true"
    )

    pods = installed.list("pods", "dask-flows.dev/run=kept")
    assert {pod["metadata"]["uid"] for pod in pods} == before
    assert {pod["spec"]["containers"][0]["image"] for pod in pods} <= old
    status = installed.wait_run("kept", timeout=90)
    assert (status["phase"], status["attempt"]) == ("Succeeded", 1), status
    Release(installed).wait_ready()
    start(installed, "next", HOLD)
    installed.wait_run("next", "Running", timeout=90)
    (runner,) = harm.pods_of(installed, "next", "runner")
    assert runner["spec"]["containers"][0]["image"] == OWN_IMAGE
    flows.cancel(installed, "next")
    installed.wait_run("next", timeout=40)


def test_a_quota_without_room_that_is_raised(installed: Kube) -> None:
    """Row 20: status names the quota soon after Kubernetes does; with room the run starts by itself."""
    path = f"/api/v1/namespaces/{installed.namespace}/resourcequotas"
    body = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "1"}}}
    installed.request("POST", path, {"apiVersion": "v1", "kind": "ResourceQuota", **body})
    eventually(lambda: "used" in installed.request("GET", f"{path}/small").get("status", {}), 20)
    start(installed, "crowded", "def main(): return 1\n")

    try:
        eventually(lambda: installed.run_status("crowded").get("reason"), 60)
        seen, status = time.time(), installed.run_status("crowded")
        told = eventually(lambda: stuck.refused_at(installed, status["jobName"]), 60)
    finally:
        installed.request("DELETE", f"{path}/small")

    assert (status["phase"], status["reason"]) == ("Starting", "QuotaExceeded"), status
    assert "exceeded quota: small" in status["message"], status
    assert seen - told < LATEST
    assert flows.result(installed.wait_run("crowded", timeout=120)) == 1


def test_the_namespace_is_deleted_after_the_agent(installed: Kube) -> None:
    """Row 34: the agent is gone first, a run is under way, and nothing of ours keeps the namespace."""
    start(installed, "last", HOLD, mode="ephemeral")
    installed.wait_run("last", "Running", timeout=90)
    kubectl("delete", "deployment", "-n", installed.namespace, "flows-dask-flows-agent", "--now")

    kubectl("delete", "namespace", installed.namespace, "--timeout=120s", timeout=130)

    assert installed.list("pods") == []

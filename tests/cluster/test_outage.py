"""The control plane or the network goes away for a while; only on the cluster that this machine runs."""

import socket
import sys
import time
from datetime import datetime

import pytest

import flows
import harm
from kube import Kube, eventually, kubectl, run
from release import ROOT, Release
from troubles import AGAIN, ONCE, TASKS

SHORT = "import time\ndef main():\n    time.sleep(10)\n    return 'short'\n"
LONG = "import time\ndef main():\n    time.sleep(45)\n    return 'long'\n"
SLEEPS = "import time\ndef main():\n    time.sleep({})\n    return {}\n"
FAILS_ONCE = """
import os
def main():
    attempt = int(os.environ["DASK_FLOWS_ATTEMPT"])
    if attempt == 1:
        raise ValueError("not the first time")
    return attempt
"""
CAUGHT_UP = 15.0  # seconds after the end of the outage, as docs/how-to/api-outages.md promises
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

    _outage(component, seconds)

    assert flows.result(kube.wait_run("short", timeout=30)) == "short"
    flows.inline(kube, "next", "def main(): return 1\n")
    kube.wait_run("next", "Starting", "Running", "Succeeded", timeout=30)
    assert flows.result(kube.wait_run("long", timeout=120)) == "long"
    assert {kube.run_status(name)["attempt"] for name in ("short", "long")} == {1}
    assert flows.result(kube.wait_run("next", timeout=60)) == 1
    assert harm.restarts(kube, agent["metadata"]["name"]) == 0


@pytest.mark.full
@pytest.mark.parametrize("seconds", [60, 200])
def test_the_api_server_is_away_for_long(kube: Kube, release: Release, seconds: int) -> None:
    """Row 12: no run notices, and the agent is not restarted: that it is refused is a sign of life, after 180 s, too.

    A run whose next attempt came due meanwhile is claimed within 15 s after its end, and so is a new one.
    """
    release.install("static")
    (agent,) = kube.list("pods", AGENT)
    flows.inline(kube, "short", SLEEPS.format(30, 1))
    flows.inline(kube, "long", SLEEPS.format(seconds + 60, 2))
    for name in ("short", "long"):
        kube.wait_run(name, "Running", timeout=90)
    _wait_for_a_retry(kube, "waits")

    _outage("apiserver", seconds)

    eventually(lambda: kube.run_status("waits")["attempt"] == 2, CAUGHT_UP)
    flows.inline(kube, "next", "def main(): return 3\n")
    kube.wait_run("next", "Starting", "Running", "Succeeded", timeout=CAUGHT_UP)
    ends = {name: kube.wait_run(name, timeout=180) for name in ("short", "long", "waits", "next")}
    assert [flows.result(status) for status in ends.values()] == [1, 2, 2, 3]
    assert [status["attempt"] for status in ends.values()] == [1, 1, 2, 1]
    assert [pod["metadata"]["uid"] for pod in kube.list("pods", AGENT)] == [
        agent["metadata"]["uid"]
    ]
    assert harm.restarts(kube, agent["metadata"]["name"]) == 0


def _wait_for_a_retry(kube: Kube, name: str) -> None:
    """Let a run wait for its second attempt, which is due when there is no API server to write it to."""
    flows.inline(kube, name, FAILS_ONCE, retries={"limit": 1, "backoffSeconds": 40})
    kube.wait_run(name, "Starting", "Running", timeout=60)
    status = kube.wait_run(name, "Pending", timeout=60)
    # Stopping the API server takes seconds; the shortest outage is a minute.
    assert datetime.fromisoformat(status["retryTime"]).timestamp() > time.time() + 15, status


def _outage(component: str, seconds: int) -> None:
    """Stop a component of the control plane for that long; returns when pods reach the API server again.

    It answers at its own address before: kube-proxy, too, asks again with growing pauses, of 30 s at last, and the
    API server has taken its address out of the Service when it stopped.
    """
    program = [sys.executable, str(ROOT / "ci" / "cluster")]
    run(*program, "outage", component, str(seconds), timeout=seconds + 150)
    eventually(_through_the_service, 90)


def _through_the_service() -> bool:
    address = kubectl(
        "get", "service", "-n", "default", "kubernetes", "-o", "jsonpath={.spec.clusterIP}"
    )
    try:
        socket.create_connection((address, 443), timeout=1).close()
    except OSError:
        return False
    return True


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


@pytest.mark.full
def test_a_long_partition_is_followed_by_another_attempt(kube: Kube, release: Release) -> None:
    """Row 35: the Dask pods of attempt 1 are gone within 60 s after its end; attempt 2 has its own, and succeeds."""
    name = "cut-once"
    release.install("ephemeral", runs={"schedulerTimeoutSeconds": 10})
    only = {"limit": 0, "infrastructure": 1}
    flows.inline(kube, name, AGAIN, retries={**only, "backoffSeconds": 1})
    kube.wait_run(name, "Running", timeout=90)
    scheduler = f"{kube.run_status(name)['clusterName']}-scheduler"

    with harm.Cut(kube, harm.runner_of(kube, name), scheduler):
        harm.wait_replaced(kube, name)

    status = kube.wait_run(name, timeout=120)
    assert flows.result(status) == 2
    ends = [(attempt["attempt"], attempt["reason"]) for attempt in status["attempts"]]
    assert ends == [(1, "SchedulerLost"), (2, "Succeeded")]
    assert status["clusterName"] == status["attempts"][1]["jobName"]
    assert status["retries"] == only


def _pass(seconds: float) -> None:
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > end, seconds + 5)

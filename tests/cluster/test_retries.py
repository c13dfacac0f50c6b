"""Retries with real pods: a new attempt is a new Job and a new cluster, after the last one is gone."""

from typing import Any

import pytest

import flows
import harm
from kube import Kube, eventually
from release import Release

FLAKY = """
import os
from distributed import get_client

def main():
    attempt = int(os.environ["DASK_FLOWS_ATTEMPT"])
    print(f"this is attempt {attempt} of {os.environ['DASK_FLOWS_RUN_UID']}", flush=True)
    if attempt == 1:
        raise ValueError("not the first time")
    return get_client().submit(sum, [attempt, 40]).result()
"""
HOLDS = """
import os, time
from distributed import get_client

def main():
    if os.environ["DASK_FLOWS_ATTEMPT"] == "1":
        print("holding", flush=True)
        get_client().submit(time.sleep, 900).result()
    return get_client().submit(sum, [2, 40]).result()
"""
WAITS = """
import os, time

def main():
    if os.environ["DASK_FLOWS_ATTEMPT"] == "1":
        print("holding", flush=True)
        time.sleep(900)
    return 42
"""
SOON = {"limit": 1, "backoffSeconds": 1}
MODES = ("static", "ephemeral")
PATIENCE = 300  # four runs at once, on two cores that others use, too


@pytest.fixture(scope="module")
def installed(shared: Kube) -> Kube:
    """One release for all modes."""
    static = {"workers": {"replicas": 1}}
    Release(shared).install("static", agent={"allowModeOverride": True}, static=static)
    return shared


@pytest.fixture(scope="module")
def statuses(installed: Kube) -> dict[str, dict[str, Any]]:
    """The final status of each run: two that fail once, one that is harmed, one that is suspended."""
    for mode in MODES:
        flows.inline(installed, f"flaky-{mode}", FLAKY, mode=mode, retries=SOON)
    flows.inline(installed, "harmed", HOLDS, mode="ephemeral", retries={"backoffSeconds": 1})
    flows.inline(installed, "rests", WAITS, mode="local")
    for name in ("harmed", "rests"):
        held(installed, name)
    harm.signal(installed, f"{installed.run_status('harmed')['clusterName']}-scheduler", 9)
    installed.patch("flowruns", "rests", {"spec": {"suspend": True}})
    installed.wait_run("rests", "Suspended", timeout=PATIENCE)
    installed.patch("flowruns", "rests", {"spec": {"suspend": False}})
    names = [*(f"flaky-{mode}" for mode in MODES), "harmed", "rests"]
    return {name: installed.wait_run(name, timeout=PATIENCE) for name in names}


def held(kube: Kube, name: str) -> None:
    """Wait until the flow of a run holds on."""
    kube.wait_run(name, "Running", timeout=PATIENCE)
    job = kube.run_status(name)["jobName"]
    eventually(lambda: "holding" in kube.logs(f"job/{job}"), 60)


def attempts(status: dict[str, Any]) -> list[str]:
    """Return how each attempt ended."""
    return [attempt["reason"] for attempt in status["attempts"]]


@pytest.mark.parametrize("mode", MODES)
def test_a_flow_that_fails_once_succeeds_in_its_second_attempt(
    installed: Kube, statuses: dict[str, dict[str, Any]], mode: str
) -> None:
    """Both attempts are in status, and both logs can be read."""
    status = statuses[f"flaky-{mode}"]

    assert flows.result(status) == 42
    assert attempts(status) == ["FlowFailed", "Succeeded"]
    assert status["retries"] == {"limit": 1, "infrastructure": 0}
    run = installed.get("flowruns", f"flaky-{mode}")
    assert run is not None
    for attempt in status["attempts"]:
        said = f"this is attempt {attempt['attempt']} of {run['metadata']['uid']}"
        assert said in installed.logs(f"job/{attempt['jobName']}")


def test_a_killed_scheduler_is_followed_by_a_new_cluster(
    statuses: dict[str, dict[str, Any]],
) -> None:
    """Row 8: kill -9 of the scheduler; SchedulerLost, then a new attempt with a scheduler of its own."""
    status = statuses["harmed"]

    assert flows.result(status) == 42
    assert attempts(status) == ["SchedulerLost", "Succeeded"]
    assert status["clusterName"] == status["attempts"][1]["jobName"]
    assert status["clusterName"] != status["attempts"][0]["jobName"]
    assert status["retries"] == {"limit": 0, "infrastructure": 1}


def test_a_suspended_run_goes_on_as_a_new_attempt(
    installed: Kube, statuses: dict[str, dict[str, Any]]
) -> None:
    """Its runner was stopped and its log stays; no budget has paid."""
    status = statuses["rests"]

    assert flows.result(status) == 42
    assert attempts(status) == ["Suspended", "Succeeded"]
    assert "retries" not in status
    assert "holding" in installed.logs(f"job/{status['attempts'][0]['jobName']}")

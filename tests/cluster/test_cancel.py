"""Cancel: the flow hears SIGTERM, its last words stay readable, and everything goes in time."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

import flows
import invariants
from kube import Kube, eventually
from namespaces import make_namespace, remove_namespace
from release import Release

POLITE = """
import time
def main():
    print("holding", flush=True)
    try:
        time.sleep(300)
    finally:
        print("the last words", flush=True)
"""
IN_TASK = """
import time
from distributed import get_client
def main():
    print("holding", flush=True)
    try:
        return get_client().submit(time.sleep, 300).result()
    finally:
        print("the last words", flush=True)
"""
DEAF = """
import signal, time
def main():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("holding", flush=True)
    end = time.time() + 300
    while time.time() < end:
        time.sleep(1)
"""
GRACE = 10


class Case(NamedTuple):
    """A flow that holds on, how much longer it may, and what its log must show."""

    code: str
    extra: int
    last_words: str


CASES = {
    "polite": Case(POLITE, 0, "the last words"),
    "in-task": Case(IN_TASK, 0, "the last words"),
    "deaf": Case(DEAF, GRACE, "holding"),
}


@pytest.fixture(scope="module", params=["static", "ephemeral", "local"])
def installed(request: pytest.FixtureRequest, api: Kube) -> Iterator[Kube]:
    """A release in each mode in turn."""
    kube = make_namespace(api, f"cancel-{request.param}")
    Release(kube).install(request.param, runner={"terminationGracePeriodSeconds": GRACE})
    yield kube
    remove_namespace(kube)


@pytest.mark.parametrize("name", CASES)
def test_cancel(installed: Kube, name: str) -> None:
    """Cancelled and its pods gone within 20 s (and the grace period if the flow ignores SIGTERM)."""
    code, extra, last_words = CASES[name]
    flows.inline(installed, name, code)
    installed.wait_run(name, "Running", timeout=60)
    job = installed.run_status(name)["jobName"]
    eventually(lambda: "holding" in installed.logs(f"job/{job}"), 30)

    flows.cancel(installed, name)
    begin = time.monotonic()
    status = installed.wait_run(name, timeout=40)
    dask = f"dask-flows.dev/run={name},app.kubernetes.io/component!=runner"
    eventually(lambda: not installed.list("pods", dask), 40)
    took = time.monotonic() - begin

    assert status["phase"] == "Cancelled", status
    assert last_words in installed.logs(f"job/{job}")
    assert took < 20 + extra
    invariants.check(installed)


def test_cancel_before_the_start(installed: Kube) -> None:
    """A run that has no process yet just ends."""
    flows.inline(installed, "never", "def main(): pass", image="registry.local/nothing:0")
    installed.wait_run("never", "Starting", timeout=30)

    flows.cancel(installed, "never")

    assert installed.wait_run("never", timeout=20)["phase"] == "Cancelled"
    invariants.check(installed)

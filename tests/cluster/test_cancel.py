"""Cancel: the flow hears SIGTERM, its last words stay readable, and everything goes in time."""

import time

import pytest

import flows
from kube import Kube, eventually
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
DEAF = """
import signal, time
def main():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("the last words", flush=True)
    end = time.time() + 300
    while time.time() < end:
        time.sleep(1)
"""
IN_TASK = """
import time
def main(client: "distributed.Client"):
    print("the last words", flush=True)
    return client.submit(time.sleep, 300).result()
import distributed
main.__annotations__["client"] = distributed.Client
"""
GRACE = 10


@pytest.mark.parametrize("mode", ["static", "ephemeral", "local"])
@pytest.mark.parametrize(
    ("code", "extra"), [(POLITE, 0), (IN_TASK, 0), (DEAF, GRACE)], ids=["polite", "in-task", "deaf"]
)
def test_cancel(kube: Kube, release: Release, mode: str, code: str, extra: int) -> None:
    """Cancelled and its pods gone within 20 s (and the grace period if the flow ignores SIGTERM)."""
    release.install(mode, runner={"terminationGracePeriodSeconds": GRACE})
    flows.inline(kube, "held", code)
    kube.wait_run("held", "Running", timeout=60)
    job = kube.run_status("held")["jobName"]
    eventually(lambda: "the last words" in kube.logs(f"job/{job}") or code is POLITE, 30)

    flows.cancel(kube, "held")
    begin = time.monotonic()
    status = kube.wait_run("held", timeout=40)
    eventually(
        lambda: (
            not kube.list("pods", "dask-flows.dev/run=held,app.kubernetes.io/component!=runner")
        ),
        40,
    )
    took = time.monotonic() - begin

    assert status["phase"] == "Cancelled", status
    assert "the last words" in kube.logs(f"job/{job}")
    assert took < 20 + extra


def test_cancel_before_the_start(kube: Kube, release: Release) -> None:
    """A run that has no process yet just ends."""
    release.install("ephemeral")
    flows.inline(kube, "never", "def main(): pass", image="registry.local/nothing:0")
    kube.wait_run("never", "Starting", timeout=30)

    flows.cancel(kube, "never")

    assert kube.wait_run("never", timeout=20)["phase"] == "Cancelled"

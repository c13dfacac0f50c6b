"""Rules for a runner that was told to stop by nobody we know: its pod's end says by whom."""

from typing import Any

import pytest

from dask_flows.kube.resources import JOBS, PODS
from fakes.runner import FakeRunner
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime

FULL = 'Usage of EmptyDir volume "tmp" exceeds the limit "32Mi".'


def end(stage: Stage, runner: FakeRunner, record: str, **status: Any) -> None:
    """End the runner's pod as its kubelet does."""
    ended = {"exitCode": 143, "reason": "Error", "message": record}
    containers = [{"name": "runner", "image": "x", "state": {"terminated": ended}}]
    body = {"phase": "Failed", "containerStatuses": containers, **status}
    stage.api.change(PODS, runner.pod, {"status": body})


async def interrupted(stage: Stage) -> tuple[FakeRunner, str]:
    """Return a runner that has reported that it was interrupted, and its record."""
    stage.submit(retries={"infrastructure": 0})
    runner = await stage.started()
    record = runner.record("Failed", reason="FlowFailed", message="interrupted", exit_code=143)
    answer = await runner.call(stage.channel, "finish", **record.to_dict())
    assert answer.status == 200
    return runner, record.to_json()


async def test_the_kubelet_says_why_only_when_the_pod_has_ended() -> None:
    """Row 22: Evicted, with the kubelet's words, although the runner's own report came first."""
    async with playing("static") as stage:
        runner, record = await interrupted(stage)
        assert stage.phase() == "Running"
        end(stage, runner, record, reason="Evicted", message=FULL)
        await stage.cleaned()

        assert stage.phase() == "Failed/Evicted"
        assert FULL in stage.status()["message"]
        assert stage.status()["exitCode"] == 143


async def test_a_signal_out_of_nowhere_is_a_runner_that_was_stopped() -> None:
    """Row 4: its pod ends without any other evidence, and the record in it counts."""
    async with playing("static") as stage:
        runner, record = await interrupted(stage)
        end(stage, runner, record)
        await stage.cleaned()

        assert stage.phase() == "Failed/RunnerDeleted"


@pytest.mark.parametrize("resource", [PODS, JOBS], ids=["pod", "job"])
async def test_what_is_being_deleted_needs_no_further_word(resource: Any) -> None:
    """The cause is known: the outcome is recorded with the report itself."""
    async with playing("static") as stage:
        stage.submit(retries={"infrastructure": 0})
        runner = await stage.started()
        stage.nodes.end_after = 30.0
        name = runner.pod if resource is PODS else stage.api.names(JOBS)[0]
        token = runner.token()
        await stage.api.delete(resource, "ns", name)
        record = runner.record("Failed", reason="FlowFailed", exit_code=143)
        await runner.call(stage.channel, "finish", **record.to_dict(), token=token)

        wanted = "RunnerDeleted" if resource is PODS else "JobDeleted"
        assert stage.phase() == f"Failed/{wanted}"

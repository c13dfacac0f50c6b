"""Cancel, deadlines and lost schedulers: the runner is asked first, Kubernetes only when it is deaf."""

import asyncio
from typing import Any

import pytest

from dask_flows.kube.errors import Conflict
from dask_flows.kube.resources import PODS
from fakes.deaf import deaf
from fakes.runner import FakeRunner
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime

ONCE = {"infrastructure": 0}


async def stop_heard(stage: Stage, runner: FakeRunner) -> Any:
    """Hold beats until one is answered with a stop."""
    async with asyncio.timeout(60):
        while True:
            answer = await runner.beat(stage.channel, workers=1, waitSeconds=10)
            if answer.body["stop"]:
                return answer.body["stop"]


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
async def test_cancel_reaches_the_runner_at_once(mode: str) -> None:
    """The held beat is answered in the moment, not with the next one; then Cancelled, all gone."""
    async with playing(mode) as stage:
        stage.submit()
        runner = await stage.started()
        held = asyncio.create_task(runner.beat(stage.channel, workers=1, waitSeconds=10))
        await asyncio.sleep(2)
        before = stage.clock.monotonic()
        stage.edit(cancel=True)
        stop = (await held).body["stop"]

        assert stop["reason"] == "Cancelled"
        assert stage.clock.monotonic() - before < 0.2
        await runner.finish(stage.channel, "Cancelled", reason="Cancelled", exit_code=143)
        await stage.cleaned()
        assert stage.phase() == "Cancelled/Cancelled"
        assert stage.left() == [f"jobs/{stage.jobs()[0]}", f"pods/{runner.pod}"]


async def test_a_deaf_runner_is_ended_by_kubernetes_after_ten_seconds() -> None:
    """Its pod gets a deadline, so that logs stay; the intent, not the pod's end, names the reason."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        stage.edit(cancel=True)
        await asyncio.sleep(9)

        assert "activeDeadlineSeconds" not in runner.object["spec"]
        await asyncio.sleep(3)
        assert runner.object["spec"]["activeDeadlineSeconds"] == 1
        await stage.cleaned()
        assert stage.phase() == "Cancelled/Cancelled"
        assert runner.pod in stage.api.names(PODS)


async def test_a_deaf_runner_is_told_once_although_the_watch_is_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer to the write says so: it is not repeated until a watch shows it."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.started()
        stage.nodes.deaf.add(runner.pod)
        stage.edit(cancel=True)
        await asyncio.sleep(5)
        with deaf(stage.agent.cache.pods, monkeypatch):
            await asyncio.sleep(60)

        assert [one[:2] for one in stage.api.writes if one[1] == "pods"] == [("patch", "pods")]


async def test_the_cluster_goes_as_soon_as_the_runner_is_given_up() -> None:
    """A runner that also ignores SIGTERM keeps its grace period; its Dask pods do not."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        stage.nodes.deaf.add(runner.pod)
        stage.edit(cancel=True)
        await asyncio.sleep(12)

        assert [name for name in stage.api.names(PODS) if name != runner.pod] == []
        assert stage.phase() == "Running"
        stage.nodes.deaf.clear()
        await stage.cleaned()
        assert stage.phase() == "Cancelled/Cancelled"


async def test_cancel_before_the_claim_makes_nothing() -> None:
    """A run that was cancelled at once never has objects."""
    async with playing() as stage:
        stage.submit(cancel=True)
        await stage.until(lambda: stage.phase().startswith("Cancelled"))

        assert stage.condition("CleanedUp")
        assert stage.left() == []


async def test_cancel_before_the_start_removes_the_job_too() -> None:
    """A pod that never began has no logs to keep."""
    async with playing() as stage:
        stage.nodes.start_after = 1000
        stage.submit()
        await stage.until(lambda: any("worker" in name for name in stage.left()))
        stage.edit(cancel=True)
        await stage.cleaned()

        assert stage.phase() == "Cancelled/Cancelled"
        await stage.until(lambda: stage.left() == [])


async def test_a_start_that_comes_after_the_cancel_is_refused() -> None:
    """The recorded end is the fence: user code is not imported any more."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.runner()
        stage.edit(cancel=True)
        await stage.until(lambda: stage.phase().startswith("Cancelled"))

        assert (await runner.start(stage.channel)).status == 409


async def test_success_beats_a_cancel_that_came_too_late() -> None:
    """What has been done has been done."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        stage.edit(cancel=True)
        await stop_heard(stage, runner)
        await runner.finish(stage.channel, result=1)

        assert stage.phase() == "Succeeded"


async def test_the_deadline_stops_the_run() -> None:
    """Counted from the claim; the runner hears it, and the reason is the deadline's."""
    async with playing() as stage:
        stage.submit(deadlineSeconds=30)
        runner = await stage.started()
        stop = await stop_heard(stage, runner)

        assert stop["reason"] == "DeadlineExceeded"
        assert 29 <= stage.clock.monotonic() <= 32
        await runner.finish(stage.channel, "Cancelled", exit_code=143)
        assert stage.phase() == "Failed/DeadlineExceeded"


async def test_a_new_deadline_is_told_at_once() -> None:
    """Raising it while the run goes on works, and the runner hears the new number."""
    async with playing() as stage:
        stage.submit(deadlineSeconds=30)
        runner = await stage.started()
        held = asyncio.create_task(runner.beat(stage.channel, workers=1, waitSeconds=10))
        await asyncio.sleep(1)
        stage.edit(deadlineSeconds=100)

        assert (await held).body == {"stop": None, "deadlineSeconds": 100}
        await asyncio.sleep(60)
        assert stage.phase() == "Running"


async def test_the_death_of_the_scheduler_ends_the_attempt() -> None:
    """The runner is told, and the message says what killed the scheduler."""
    async with playing() as stage:
        stage.submit(retries=ONCE)
        runner = await stage.started()
        stage.nodes.end(f"{stage.jobs()[0]}-scheduler", 137, reason="OOMKilled")
        stop = await stop_heard(stage, runner)

        assert stop["reason"] == "SchedulerLost"
        await runner.finish(stage.channel, "Failed", reason="SchedulerLost", exit_code=4)
        assert stage.phase() == "Failed/SchedulerLost"
        assert "memory" in stage.status()["message"]


async def test_a_deleted_scheduler_ends_the_attempt_even_if_the_runner_is_deaf() -> None:
    """Nobody waits for a cluster that is gone."""
    async with playing() as stage:
        stage.submit(retries=ONCE)
        await stage.started()
        stage.api.remove(PODS, "ns", f"{stage.jobs()[0]}-scheduler")
        await stage.cleaned()

        assert stage.phase() == "Failed/SchedulerLost"


async def test_the_intent_survives_the_agent() -> None:
    """An agent that starts after the cancel was recorded gives the same reason, after the same time."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        stage.edit(cancel=True)
        await stop_heard(stage, runner)
        await stage.restart()
        await stage.cleaned()

        assert stage.phase() == "Cancelled/Cancelled"
        assert stage.clock.monotonic() < 20


async def test_a_runner_that_hangs_after_its_report_is_ended() -> None:
    """An outcome is recorded; what its process still does is of no use."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        await runner.call(stage.channel, "finish", **runner.record().to_dict())
        await asyncio.sleep(25)

        assert stage.phase() == "Succeeded"
        assert not stage.condition("CleanedUp")
        await stage.cleaned()
        assert runner.object["spec"]["activeDeadlineSeconds"] == 1


@pytest.mark.parametrize("told", [True, False], ids=["finish", "silent"])
async def test_cancel_that_races_with_the_start_is_a_cancel(told: bool) -> None:
    """The runner is refused leave and ends with 96; the run was cancelled, and says so."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.runner()
        stage.api.faults.fail("patch/status", "flowruns", Conflict("changed"), times=1)
        stage.edit(cancel=True)
        await asyncio.sleep(0.01)
        assert (await runner.start(stage.channel)).status == 409
        if told:
            await runner.finish(stage.channel, "Failed", exit_code=96, reason="DuplicateStart")
        else:
            runner.die(96)
        await stage.cleaned()

        assert stage.phase() == "Cancelled/Cancelled"


async def test_a_duplicate_start_is_no_reason_of_a_run() -> None:
    """It is about one process, and the run has another one or none."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        await runner.finish(stage.channel, "Failed", exit_code=96, reason="DuplicateStart")
        await stage.cleaned()

        assert stage.phase() == "Failed/FlowFailed"

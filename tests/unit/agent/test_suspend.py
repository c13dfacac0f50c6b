"""``spec.suspend`` at every phase: what runs is stopped as by a cancel, and goes on as a new attempt."""

import asyncio
from typing import Any

import pytest

from dask_flows.kube.resources import PODS
from fakes.runner import FakeRunner
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime


async def stopped(stage: Stage) -> FakeRunner:
    """Return the runner of a first attempt that was suspended and has ended as it should."""
    stage.submit()
    runner = await stage.started()
    stage.edit(suspend=True)
    answer = await runner.beat(stage.channel, workers=1, waitSeconds=10)
    assert answer.body["stop"]["reason"] == "Suspended"
    await runner.finish(stage.channel, "Failed", reason="Suspended", exit_code=143)
    return runner


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
async def test_a_running_attempt_is_stopped_recorded_and_cleaned_up(mode: str) -> None:
    """Suspended, without a reason of failure; its log stays, its cluster goes, nothing else begins."""
    async with playing(mode) as stage:
        runner = await stopped(stage)
        assert stage.phase() == "Suspended"
        await stage.cleaned()
        await asyncio.sleep(600)

        assert stage.left() == [f"jobs/{stage.jobs()[0]}", f"pods/{runner.pod}"]
        assert [a["reason"] for a in stage.status()["attempts"]] == ["Suspended"]
        assert not stage.condition("Stopping")


async def test_it_goes_on_as_a_new_attempt_that_no_budget_pays_for() -> None:
    """Pending, then the next attempt at once."""
    async with playing() as stage:
        await stopped(stage)
        await stage.cleaned()
        stage.edit(suspend=False)
        second = await stage.started()
        await second.finish(stage.channel)

        assert stage.phase() == "Succeeded"
        assert stage.status()["attempt"] == 2
        assert "retries" not in stage.status()


async def test_resumed_before_the_end_is_recorded() -> None:
    """The wish to stop was heard, so the attempt ends; the next one follows."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        stage.edit(suspend=True)
        await stage.until(lambda: stage.condition("Stopping"))
        stage.edit(suspend=False)
        await runner.finish(stage.channel, "Failed", reason="Suspended", exit_code=143)
        await (await stage.started()).finish(stage.channel)

        assert [a["reason"] for a in stage.status()["attempts"]] == ["Suspended", "Succeeded"]


async def test_success_beats_a_suspend_that_came_too_late() -> None:
    """What has been done has been done."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        stage.edit(suspend=True)
        await stage.until(lambda: stage.condition("Stopping"))
        await runner.finish(stage.channel, result=1)

        assert stage.phase() == "Succeeded"


async def test_a_deaf_runner_is_ended_by_kubernetes() -> None:
    """As after a cancel."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        stage.edit(suspend=True)
        await stage.until(lambda: stage.phase() == "Suspended")
        await stage.cleaned()

        assert runner.pod in stage.api.names(PODS)
        assert stage.clock.monotonic() < 25


async def test_an_attempt_without_leave_to_start_just_ends() -> None:
    """Nothing has run, so there is nothing to stop; a start that comes late is refused."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.runner()
        token = runner.token()
        stage.edit(suspend=True)
        await stage.until(lambda: stage.phase() == "Suspended")

        assert (await runner.start(stage.channel, token=token)).status == 409
        runner.die(96)
        await stage.cleaned()
        stage.edit(suspend=False)
        await (await stage.started()).finish(stage.channel)
        assert stage.phase() == "Succeeded"


async def test_a_retry_that_waits_can_be_suspended() -> None:
    """Its time stays; resumed before it, it waits for the rest."""
    async with playing("static") as stage:
        stage.submit(retries={"limit": 1, "backoffSeconds": 100})
        runner = await stage.started()
        await runner.finish(stage.channel, "Failed", reason="FlowFailed", exit_code=1)
        due = stage.status()["retryTime"]
        stage.edit(suspend=True)
        await stage.until(lambda: stage.phase() == "Suspended")
        await asyncio.sleep(20)
        stage.edit(suspend=False)
        await stage.until(lambda: stage.phase() == "Pending")

        assert stage.status()["retryTime"] == due
        assert stage.clock.monotonic() < 80
        await stage.until(lambda: stage.phase() == "Starting", 100)
        assert stage.clock.monotonic() > 90


@pytest.mark.parametrize("edit", [{"cancel": True}, {"deadlineSeconds": 5}], ids=str)
async def test_a_suspended_run_can_end(edit: dict[str, Any]) -> None:
    """By a cancel, and by its deadline, whose clock goes on."""
    async with playing() as stage:
        await stopped(stage)
        await stage.cleaned()
        await asyncio.sleep(10)
        stage.edit(**edit)
        await stage.until(lambda: stage.phase().startswith(("Cancelled/", "Failed/Deadline")))

        assert [a["reason"] for a in stage.status()["attempts"]] == ["Suspended"]


async def test_cancel_while_the_attempt_is_being_suspended() -> None:
    """The attempt was stopped by the suspension; the run ends by the cancel."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        stage.edit(suspend=True)
        await stage.until(lambda: stage.condition("Stopping"))
        stage.edit(cancel=True)
        await runner.finish(stage.channel, "Cancelled", reason="Cancelled", exit_code=143)
        await stage.until(lambda: stage.phase() == "Cancelled/Cancelled")
        await stage.cleaned()

        assert len(stage.jobs()) == 1


@pytest.mark.parametrize("moment", ["stopping", "suspended", "resumed"])
async def test_the_suspension_survives_the_agent(moment: str) -> None:
    """It is in spec and in status, not in anybody's memory."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        stage.edit(suspend=True)
        await stage.until(lambda: stage.condition("Stopping"))
        if moment == "stopping":
            await stage.restart()
            await stage.until(lambda: stage.agent.cache.ready)
        await runner.finish(stage.channel, "Failed", reason="Suspended", exit_code=143)
        assert stage.phase() == "Suspended"
        if moment == "suspended":
            await stage.restart()
        await stage.cleaned()
        stage.edit(suspend=False)
        if moment == "resumed":
            await stage.restart()
        await (await stage.started()).finish(stage.channel)

        assert (stage.phase(), len(stage.jobs())) == ("Succeeded", 2)


async def test_suspended_and_resumed_before_its_first_attempt() -> None:
    """Nothing is made for it before, and it is Pending when it may go."""
    async with playing("static") as stage:
        stage.submit(suspend=True)
        await stage.until(lambda: stage.phase() == "Suspended")
        await asyncio.sleep(5)
        assert stage.left() == []
        stage.edit(suspend=False)
        await stage.started()

        assert stage.status()["attempt"] == 1

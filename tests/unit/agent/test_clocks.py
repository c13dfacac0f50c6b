"""Rules for an agent whose clock is wrong: what it decides follows how long things take, not what time it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from dask_flows.agent.main import Agent
from dask_flows.kube.resources import JOBS
from fakes.clock import LoopClock
from fakes.stage import Stage

pytestmark = pytest.mark.looptime

HOUR = 3600.0


class WrongClock(LoopClock):
    """Tell a time of day that is off by ``error`` seconds; the rest of the cluster knows better."""

    error = 0.0

    def now(self) -> datetime:
        """Return the wrong time of day."""
        return super().now() + timedelta(seconds=self.error)


@asynccontextmanager
async def misled(error: float) -> AsyncIterator[tuple[Stage, WrongClock]]:
    """Yield a stage whose agent has a wrong clock."""
    stage, clock = Stage("static"), WrongClock()
    clock.error = error
    stage.agent = Agent(stage.api, stage.config, clock)
    stage.raise_curtain()
    try:
        yield stage, clock
    finally:
        await stage.fall()


def ttl(stage: Stage) -> Any:
    """Return after how many seconds the run's Job goes."""
    (job,) = stage.api.names(JOBS)
    return stage.api.read(JOBS, job)["spec"].get("ttlSecondsAfterFinished")


async def succeed(stage: Stage) -> None:
    """Let the run's runner start and end well."""
    runner = await stage.started()
    await asyncio.sleep(5)
    assert ttl(stage) is None
    await runner.finish(stage.channel)
    await stage.cleaned()


@pytest.mark.parametrize("error", [HOUR, -HOUR], ids=["ahead", "behind"])
async def test_a_clock_that_is_wrong_by_an_hour(error: float) -> None:
    """Row 23: the run takes its time, deadlines hold, and the Job's TTL is a span, not a moment."""
    async with misled(error) as (stage, _):
        stage.submit(startDeadlineSeconds=60, deadlineSeconds=60, ttlSecondsAfterFinished=100)
        await succeed(stage)

        assert stage.phase() == "Succeeded"
        assert ttl(stage) == 100
        assert len(stage.jobs()) == 1


@pytest.mark.parametrize("error", [HOUR, -HOUR], ids=["ahead", "behind"])
async def test_deadlines_hold_with_a_wrong_clock(error: float) -> None:
    """Row 23: neither an hour early nor an hour late."""
    async with misled(error) as (stage, _):
        stage.submit(deadlineSeconds=30)
        await stage.started()
        await asyncio.sleep(20)
        assert stage.phase() == "Running"
        await asyncio.sleep(30)

        assert stage.condition("Stopping") or stage.phase() == "Failed/DeadlineExceeded"


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_clock_that_jumps(jump: float) -> None:
    """Row 23: a run without deadlines does not notice; it starts once and ends well."""
    async with misled(0.0) as (stage, clock):
        stage.submit(ttlSecondsAfterFinished=100)
        runner = await stage.started()
        clock.error = jump
        await asyncio.sleep(60)
        assert stage.phase() == "Running"
        await runner.finish(stage.channel)
        await stage.cleaned()

        assert stage.phase() == "Succeeded"
        assert ttl(stage) == 100
        assert len(stage.jobs()) == 1

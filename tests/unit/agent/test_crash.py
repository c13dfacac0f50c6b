"""The agent dies before and after each of its writes; a new one finishes the run, once.

Every play counts the writes of one life, from the claim to the last cleaning up, and kills the agent at
one of them. Whatever the moment: one Job, one start, the right end, nothing left.
"""

import asyncio
from typing import Any

import pytest

from dask_flows.agent.channel import Answer
from dask_flows.kube.resources import FLOWRUNS
from fakes.faults import AFTER, BEFORE, Crash
from fakes.runner import FakeRunner
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime


async def persist(stage: Stage, runner: FakeRunner, verb: str, **body: Any) -> Answer:
    """Repeat a call as the real runner does: while the agent is away or starting."""
    async with asyncio.timeout(60):
        while True:
            try:
                answer = await getattr(runner, verb)(stage.channel, **body)
            except Crash:  # the agent died with our call in its hands
                await stage.kill_agent()
                answer = Answer(503)
            if answer.status != 503:
                return answer
            await asyncio.sleep(0.5)


async def live(stage: Stage, *, cancel: bool = False) -> FakeRunner:
    """Play a runner's part."""
    runner = await stage.runner()
    assert (await persist(stage, runner, "start")).status == 200
    await persist(stage, runner, "beat", workers=1)
    await asyncio.sleep(1)
    if cancel:
        stage.edit(cancel=True)
        async with asyncio.timeout(20):
            stop = None
            while stop is None:
                stop = (await persist(stage, runner, "beat", waitSeconds=5)).body["stop"]
    end = {"outcome": "Cancelled", "exit_code": 143} if cancel else {"outcome": "Succeeded"}
    assert (await persist(stage, runner, "finish", **end)).status == 200
    return runner


async def play(mode: str, write: int, moment: str, *, cancel: bool) -> bool:
    """Play one life with a crash; returns whether the crash came."""
    async with playing(mode) as stage:
        survivor = asyncio.create_task(stage.survive())
        stage.api.faults.crash_at(write, moment)
        stage.submit(workers={"replicas": 2})
        runner = await live(stage, cancel=cancel)
        await stage.cleaned()
        await asyncio.sleep(2)
        survivor.cancel()

        assert stage.phase() == ("Cancelled/Cancelled" if cancel else "Succeeded")
        assert len(stage.jobs()) == 1
        assert stage.status()["startedBy"] == runner.object["metadata"]["uid"]
        assert stage.left() == [f"jobs/{stage.jobs()[0]}", f"pods/{runner.pod}"]
        phases = [
            change.event.object.get("status", {}).get("phase")
            for change in stage.api.store.history
            if change.resource is FLOWRUNS
        ]
        order = [None, "Starting", "Running", "Succeeded", "Cancelled"]
        assert phases == sorted(phases, key=order.index)
        return stage.api.faults.crashed


@pytest.mark.parametrize("cancel", [False, True], ids=["success", "cancel"])
@pytest.mark.parametrize("moment", [BEFORE, AFTER])
@pytest.mark.parametrize("mode", ["static", "ephemeral"])
async def test_a_crash_at_any_write_is_repaired(mode: str, moment: str, *, cancel: bool) -> None:
    """At most one start, at least one attempt, nothing left: whatever write was the last."""
    write = 1
    while await play(mode, write, moment, cancel=cancel):
        write += 1

    assert write > 10

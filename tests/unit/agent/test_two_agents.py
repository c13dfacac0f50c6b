"""Two agents of one release at once: the API server's word decides, never who believes what."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from dask_flows.agent.channel import Answer
from dask_flows.agent.main import Agent
from dask_flows.config import AgentConfig
from dask_flows.kube.errors import Conflict, NotFound
from dask_flows.kube.resources import FLOWRUNS, JOBS, PODS
from fakes.lagging import Lagging
from fakes.runner import FakeRunner
from fakes.stage import Stage, playing
from samples import config_data

pytestmark = pytest.mark.looptime


class Pair:
    """The stage's world with two agents, each behind a way of its own; their Service picks either."""

    def __init__(self, stage: Stage, seed: str, **config: Any) -> None:
        self.stage = stage
        self.random = random.Random(seed)
        self.ways = [Lagging(stage.api, f"{seed}-{number}") for number in range(2)]
        data = config_data(**config)
        self.agents = [
            Agent(way, AgentConfig.parse(data), stage.clock)  # type: ignore[arg-type]
            for way in self.ways
        ]
        self.tasks = [asyncio.create_task(agent.run()) for agent in self.agents]

    async def fall(self) -> None:
        """Stop both; neither may have ended by itself."""
        for task in self.tasks:
            assert not task.done()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def ask(self, runner: FakeRunner, verb: str, **body: Any) -> Answer:
        """Repeat a call as a runner does, at whichever agent the Service gives."""
        async with asyncio.timeout(600):
            while True:
                channel = self.random.choice(self.agents).channel
                # The Secret may be on its way: a real pod waits for it with its start.
                with suppress(TimeoutError, NotFound):
                    async with asyncio.timeout(5):
                        answer = await getattr(runner, verb)(channel, **body)
                        if answer.status in (200, 409):
                            return answer  # type: ignore[no-any-return]
                await asyncio.sleep(0.5)

    async def live(self, name: str) -> None:
        """Play a run's runner, and an intruder that wants to start the same attempt."""
        runner = FakeRunner(self.stage.api, self.stage.nodes, name)
        await asyncio.wait_for(runner.ready(), 600)
        assert (await self.ask(runner, "start")).status == 200
        intruder = await self.ask(runner, "start", podUid="somebody-else")
        assert intruder.status == 409
        await self.ask(runner, "beat", workers=1)
        await asyncio.sleep(self.random.random() * 5)
        assert (await self.ask(runner, "finish")).status == 200


@asynccontextmanager
async def pair(mode: str, seed: str) -> AsyncIterator[Pair]:
    """Yield two agents at work, and nobody else."""
    async with playing(mode) as stage:
        await stage.kill_agent()
        both = Pair(stage, seed, mode=mode)
        try:
            yield both
        finally:
            await both.fall()


def starters(stage: Stage, name: str) -> set[tuple[int, str]]:
    """Return every pair of attempt and pod that status ever said to have started."""
    seen = [
        change.event.object.get("status") or {}
        for change in stage.api.store.history
        if change.resource is FLOWRUNS and change.event.object["metadata"]["name"] == name
    ]
    return {(s["attempt"], s["startedBy"]) for s in seen if s.get("startedBy")}


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
@pytest.mark.parametrize("seed", range(8))
async def test_two_agents_at_once_start_everything_once(mode: str, seed: int) -> None:
    """Row 3: one Job and one start per attempt, whatever each of them sees and when."""
    async with pair(mode, f"{seed}") as both:
        names = [f"run-{number}" for number in range(4)]
        for name in names:
            both.stage.submit(name)
        await asyncio.gather(*(both.live(name) for name in names))
        for name in names:
            await both.stage.cleaned(name)
            assert both.stage.phase(name) == "Succeeded"
            assert len(starters(both.stage, name)) == 1
        jobs = both.stage.jobs()
        assert len(jobs) == len(set(jobs)) == len(names)


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
@pytest.mark.parametrize("seed", range(6))
async def test_an_agent_that_was_frozen_for_minutes_does_no_harm(mode: str, seed: int) -> None:
    """Row 3: stopped at any moment, it wakes up after the run, its Job and its TTL are over.

    Its late writes are refused or taken back: nothing starts again, and nothing is left.
    """
    async with pair(mode, f"frozen-{seed}") as both:
        stage, frozen = both.stage, both.ways[0]
        stage.submit()
        await asyncio.sleep(both.random.random() * 4)
        frozen.freeze()
        await both.live("diamond")
        await stage.cleaned()
        ended = stage.status()
        stage.stop_nodes()  # nothing happens there any more
        await asyncio.sleep(180)
        for job in stage.api.names(JOBS):
            stage.api.remove(JOBS, "ns", job)
        for pod in stage.api.names(PODS):
            stage.api.remove(PODS, "ns", pod, grace=0)
        frozen.thaw()
        await asyncio.sleep(60)

        assert stage.status() == ended
        assert stage.phase() == "Succeeded"
        assert len(starters(stage, "diamond")) == 1
        assert not stage.left()


async def test_a_write_on_an_old_copy_is_refused() -> None:
    """Row 3: an agent that has seen nothing for minutes cannot undo what happened meanwhile."""
    async with pair("static", "stale") as both:
        stage, frozen = both.stage, both.ways[0]
        stage.submit(suspend=True)
        await stage.until(lambda: stage.phase() == "Suspended")
        await asyncio.sleep(5)
        stale = both.agents[0].cache.runs.get("diamond")
        assert stale is not None
        frozen.freeze()
        stage.edit(suspend=False)
        await both.live("diamond")
        await stage.cleaned()
        frozen.thaw()

        with pytest.raises(Conflict):
            await both.agents[0].recorder.write(stale.run, {"phase": "Cancelled"})
        assert stage.phase() == "Succeeded"

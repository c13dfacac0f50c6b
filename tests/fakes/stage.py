"""A whole play: fake API server, fake nodes and a real agent, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from dask_flows.agent.main import Agent
from dask_flows.config import AgentConfig
from dask_flows.kube.resources import (
    CONFIG_MAPS,
    FLOWRUNS,
    JOBS,
    NETWORK_POLICIES,
    PODS,
    SECRETS,
    SERVICES,
    Resource,
)
from fakes.api import FakeApi
from fakes.clock import LoopClock
from fakes.faults import Crash
from fakes.nodes import Nodes
from fakes.runner import FakeRunner
from samples import config_data

OURS = (JOBS, PODS, SERVICES, NETWORK_POLICIES, CONFIG_MAPS, SECRETS)


class Stage:
    """What a test plays with."""

    def __init__(self, mode: str = "ephemeral", **config: Any) -> None:
        self.clock = LoopClock()
        self.api = FakeApi(self.clock)
        self.nodes = Nodes(self.api)
        self.config = AgentConfig.parse(config_data(mode, **config))
        self.agent = Agent(self.api, self.config, self.clock)
        self._nodes: asyncio.Task[None] | None = None
        self._acting: asyncio.Task[None] | None = None

    @property
    def channel(self) -> Any:
        """The running agent's side of the attempt channel."""
        return self.agent.channel

    def submit(self, name: str = "diamond", **spec: Any) -> dict[str, Any]:
        """Create a FlowRun."""
        body = {
            "apiVersion": "dask-flows.dev/v1alpha1",
            "kind": "FlowRun",
            "metadata": {"name": name},
            "spec": {"flow": "flow.py:diamond"} | spec,
        }
        if "command" in spec:
            del body["spec"]["flow"]
        return self.api.add(FLOWRUNS, body)

    def edit(self, name: str = "diamond", **spec: Any) -> None:
        """Change a FlowRun's spec as a user does."""
        self.api.change(FLOWRUNS, name, {"spec": spec})

    def status(self, name: str = "diamond") -> dict[str, Any]:
        """Return a FlowRun's status."""
        status: dict[str, Any] = self.api.read(FLOWRUNS, name).get("status") or {}
        return status

    def phase(self, name: str = "diamond") -> str:
        """Return a FlowRun's phase and reason, ``Failed/OutOfMemory``."""
        status = self.status(name)
        return "/".join(filter(None, (status.get("phase", "-"), status.get("reason"))))

    def condition(self, kind: str, name: str = "diamond") -> dict[str, Any] | None:
        """Return a condition that is True."""
        found = self.status(name).get("conditions") or []
        return next((c for c in found if c["type"] == kind and c["status"] == "True"), None)

    def left(self) -> list[str]:
        """Return what is there beside FlowRuns, as ``kind/name``; a Job's Secret is part of the Job."""
        jobs = {self.api.read(JOBS, name)["metadata"]["uid"] for name in self.api.names(JOBS)}
        secrets = {name for name in self.api.names(SECRETS) if self._owner(SECRETS, name) in jobs}
        found = ((r, name) for r in OURS for name in self.api.names(r))
        return [f"{r.plural}/{n}" for r, n in found if r is not SECRETS or n not in secrets]

    def _owner(self, resource: Resource, name: str) -> str:
        owners = self.api.read(resource, name)["metadata"].get("ownerReferences") or [{}]
        return str(owners[0].get("uid"))

    def jobs(self) -> list[str]:
        """Return every Job that was ever created, in order."""
        return [
            name for verb, plural, name in self.api.writes if (verb, plural) == ("create", "jobs")
        ]

    async def runner(self, name: str = "diamond") -> FakeRunner:
        """Return the run's runner once its pod runs."""
        runner = FakeRunner(self.api, self.nodes, name)
        return await asyncio.wait_for(runner.ready(), 60)

    async def started(self, name: str = "diamond") -> FakeRunner:
        """Return the run's runner once it has started and said that it runs."""
        runner = await self.runner(name)
        assert (await runner.start(self.channel)).status == 200
        await runner.beat(self.channel, workers=1)
        await self.until(lambda: self.phase(name) == "Running")
        return runner

    async def until(self, done: Callable[[], Any], seconds: float = 30) -> None:
        """Wait until something holds; fails after ``seconds``."""
        async with asyncio.timeout(seconds):
            while not done():  # noqa: ASYNC110 - virtual time, any condition
                await asyncio.sleep(0.05)

    async def cleaned(self, name: str = "diamond") -> None:
        """Wait until nothing is left but finished Jobs and their pods."""
        await self.until(lambda: self.condition("CleanedUp", name), 60)

    def raise_curtain(self) -> None:
        """Start nodes and agent."""
        self._nodes = asyncio.create_task(self.nodes.run())
        self._acting = asyncio.create_task(self._act())

    async def restart(self, **config: Any) -> None:
        """Kill the agent where it stands and start a new one, perhaps with another configuration."""
        await self.kill_agent()
        if config:
            self.config = AgentConfig.parse(config_data(**config))
        self.agent = Agent(self.api, self.config, self.clock)
        self._acting = asyncio.create_task(self._act())

    async def survive(self) -> None:
        """Start a new agent whenever one has died of an ordered crash, for ever."""
        while True:
            assert self._acting is not None
            await asyncio.wait([self._acting])
            await asyncio.sleep(0.5)
            await self.restart()

    async def kill_agent(self) -> None:
        """Kill the agent where it stands."""
        await _end(self._acting)

    def stop_nodes(self) -> None:
        """Let nothing happen on the nodes any more, nor a Job controller tell of it."""
        assert self._nodes is not None
        self._nodes.cancel()

    async def fall(self) -> None:
        """Stop everything; a mistake that ended a part early is raised here."""
        for task in (self._acting, self._nodes):
            await _end(task)

    async def _act(self) -> None:
        with suppress(Crash):
            try:
                await self.agent.run()
            except BaseExceptionGroup as group:
                if group.subgroup(Crash) is None:
                    raise


@asynccontextmanager
async def playing(mode: str = "ephemeral", **config: Any) -> AsyncIterator[Stage]:
    """Yield a stage with agent and nodes at work."""
    stage = Stage(mode, **config)
    stage.raise_curtain()
    try:
        yield stage
    finally:
        await stage.fall()


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

"""A stage whose agent dies at a chosen write or call, and what such a life leaves as evidence."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from dask_flows.agent.channel import Answer
from dask_flows.agent.main import Agent
from dask_flows.agent.steps import step_of
from dask_flows.kube.failpoints import AFTER, BEFORE, Failpoints
from dask_flows.kube.resources import FLOWRUNS
from dask_flows.kube.through import Call
from dask_flows.names import LABEL_MANAGED_BY
from fakes.faults import Crash
from fakes.runner import FakeRunner
from fakes.stage import OURS, Stage
from invariants.evidence import Evidence, Start

UNNAMED = "?"


class Fate:
    """Lets one agent die at the n-th write of its life, and everything it does after that fail."""

    def __init__(self, write: int = 0, moment: str = BEFORE) -> None:
        self.write, self.moment = write, moment
        self.seen: list[str] = []  # the step of each write that was tried
        self.taken: set[int] = set()  # the numbers of those that the API server took
        self.dead = False
        self._numbers: list[Call] = []

    def meet(self, write: Call, moment: str) -> None:
        """Note a write; raise ``Crash`` where it is time."""
        if self.dead:
            raise Crash("a dead agent writes nothing")
        if moment == BEFORE:
            self.seen.append(step_of(write) or f"{UNNAMED} {write}")
            self._numbers.append(write)
        # Others may have begun since: which write it is tells only the object itself.
        number = next(n for n, one in enumerate(self._numbers, 1) if one is write)
        if moment == AFTER:
            self.taken.add(number)
        if (number, moment) == (self.write, self.moment):
            self.dead = True
            raise Crash(f"{moment} {self.seen[number - 1]}")


class Mortal(Stage):
    """A stage whose first agent has a fate; the agents after it live."""

    def __init__(self, mode: str, fate: Fate, **config: Any) -> None:
        super().__init__(mode, **config)
        self.fates = [fate]
        self.starts: list[Start] = []
        self._tokens: dict[str, str] = {}
        self.agent = self._make(fate)
        self._survivor: asyncio.Task[None] | None = None

    def raise_curtain(self) -> None:
        """Start nodes and agent, and whoever replaces the dead."""
        super().raise_curtain()
        self._survivor = asyncio.create_task(self.survive())

    async def restart(self, **config: Any) -> None:
        """Replace the agent, wherever it stands."""
        await self.kill_agent()
        self.fates[-1].dead = True
        self.fates.append(Fate())
        self.agent = self._make(self.fates[-1], **config)
        self._acting = asyncio.create_task(self._act())

    async def fall(self) -> None:
        """Stop everything."""
        # More than once: waiting for the end of the agent it kills swallows a cancellation.
        while self._survivor is not None and not self._survivor.done():
            self._survivor.cancel()
            await asyncio.wait([self._survivor], timeout=1)
        await super().fall()
        if self._survivor is not None and not self._survivor.cancelled():
            self._survivor.result()

    async def survive(self) -> None:
        """Start a new agent whenever one has died, for ever."""
        while True:
            assert self._acting is not None
            ended = self._acting
            await asyncio.wait([ended])
            await asyncio.sleep(0.5)
            if self._acting is ended:  # nobody else has replaced it
                await self.restart()

    async def say(self, runner: FakeRunner, verb: str, **body: Any) -> Answer:
        """Make a call as the real runner does: again while the agent is away or starting."""
        # It was mounted when the pod started, and stays there when the Secret goes.
        if runner.pod not in self._tokens:
            self._tokens[runner.pod] = runner.token()
        token = self._tokens[runner.pod]
        runner.token = lambda: token
        async with asyncio.timeout(60):
            while True:
                agent = self.agent
                try:
                    answer = await getattr(runner, verb)(agent.channel, **body)
                except Crash:  # the agent died with our call in its hands
                    if agent is self.agent:  # else another one lives already
                        await self.kill_agent()
                    answer = Answer(503)
                if answer.status != 503:
                    return answer
                await asyncio.sleep(0.5)

    async def begin(self, runner: FakeRunner) -> int:
        """Ask for leave and begin if it is given, which the flow itself counts; returns the answer."""
        answer = await self.say(runner, "start")
        if answer.status == 200:
            labels, pod = runner.labels, runner.object["metadata"]["uid"]
            attempt = int(labels["dask-flows.dev/attempt"])
            assert self.status(runner.run)["startedBy"] == pod, "answered before it was written"
            self.starts.append(Start(labels["dask-flows.dev/run-uid"], attempt, pod))
        return answer.status

    def evidence(self) -> Evidence:
        """Return all that this play has left."""
        runs = [self.api.read(FLOWRUNS, name) for name in self.api.names(FLOWRUNS)]
        statuses: dict[str, list[dict[str, Any]]] = {}
        for change in self.api.store.history:
            if change.resource is FLOWRUNS:
                run = change.event.object
                statuses.setdefault(run["metadata"]["uid"], []).append(run.get("status") or {})
        objects = [
            (resource.plural, obj)
            for resource in OURS
            for obj in (self.api.read(resource, name) for name in self.api.names(resource))
            if LABEL_MANAGED_BY in obj["metadata"].get("labels", {})
        ]
        return Evidence(
            runs=runs,
            objects=objects,
            expires=self.config.runs.ttl is not None,
            statuses=statuses,
            jobs_made=Counter(self.jobs()),
            writes=Counter({runs[0]["metadata"]["uid"]: self._cost()}) if len(runs) == 1 else None,
            starts=self.starts,
            counted=frozenset(run["metadata"]["uid"] for run in runs),
            restarts=len(self.fates) - 1,
        )

    def _cost(self) -> int:
        # A Lease is the release's, not the run's.
        return sum(plural not in ("events", "leases") for _, plural, _ in self.api.writes)

    def _make(self, fate: Fate, **config: Any) -> Agent:
        if config:
            self.config = type(self.config).parse(config)
        return Agent(Failpoints(self.api, fate.meet), self.config, self.clock)


@asynccontextmanager
async def dying(
    mode: str, write: int = 0, moment: str = AFTER, **config: Any
) -> AsyncIterator[Mortal]:
    """Yield a stage whose first agent dies before or after its n-th write; never for 0."""
    stage = Mortal(mode, Fate(write, moment), **config)
    stage.raise_curtain()
    try:
        yield stage
    finally:
        await stage.fall()

"""Put the agent together and run it until it is told to stop."""

import asyncio
import gc
import logging
import signal
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import random
from typing import Any

from dask_flows.agent.attempt import Attempt
from dask_flows.agent.beginning import Beginner
from dask_flows.agent.board import Board
from dask_flows.agent.cache import Cache
from dask_flows.agent.channel import Channel
from dask_flows.agent.cleaning import Cleaner
from dask_flows.agent.controller import Controller
from dask_flows.agent.engines.pods import PodsEngine
from dask_flows.agent.events import Events
from dask_flows.agent.exposition import expose, expose_process, scrape
from dask_flows.agent.health import Health
from dask_flows.agent.heartbeat import Heartbeat
from dask_flows.agent.logs import TEXT, log_to_stderr
from dask_flows.agent.memory import Memories
from dask_flows.agent.metrics import Metrics
from dask_flows.agent.pace import Bucket, Paced
from dask_flows.agent.pause import Pause
from dask_flows.agent.recorder import Recorder
from dask_flows.agent.retrying import Random
from dask_flows.agent.server import make_app, metrics_app, serving
from dask_flows.agent.settling import Settling
from dask_flows.agent.steps import armed
from dask_flows.agent.sweep import Sweeper
from dask_flows.agent.tally import Tally
from dask_flows.agent.turnstile import Turnstile
from dask_flows.agent.views import RunView
from dask_flows.agent.witness import Witness
from dask_flows.agent.workqueue import WorkQueue
from dask_flows.config import AgentConfig, load_agent_config
from dask_flows.deadline import Clock, SystemClock
from dask_flows.flowrun import PENDING
from dask_flows.kube.api import Api, Object
from dask_flows.kube.connect import connect
from dask_flows.kube.counted import Counted
from dask_flows.kube.informer import Informer
from dask_flows.kube.resources import LEASES

log = logging.getLogger("dask_flows.agent")

WORKERS = 8
# New objects until Python looks for cycles. Its usual 700 come ten times with each page of a list; there are
# hardly any cycles in it, and looking takes as long as reading.
GARBAGE = 50_000


class Agent:
    """All parts of one agent; tests drive it with a fake API and a fake clock."""

    def __init__(
        self,
        api: Api,
        config: AgentConfig,
        clock: Clock,
        metrics: Metrics | None = None,
        random: Random = random,
    ) -> None:
        namespace = config.release.namespace
        self.metrics = metrics or Metrics(clock)
        self.queue = WorkQueue(clock)
        self.cache = Cache(api, namespace, config.release.name, clock, self.queue.add)
        self.memories = Memories()
        self.events = Events(api, clock)
        self.recorder = Recorder(api, self.cache, self.events, self.metrics)
        self.engine = PodsEngine(api, self.cache, clock)
        self.turnstile = Turnstile(config, clock, self.queue.add)
        self.board = Board(self.cache, self.recorder, self.turnstile, clock)
        self.sweeper = Sweeper(api, self.cache, namespace)
        beginner = Beginner(
            api=api,
            cache=self.cache,
            recorder=self.recorder,
            engine=self.engine,
            turnstile=self.turnstile,
            board=self.board,
            config=config,
            clock=clock,
            left_over=self.sweeper.soon,
        )
        self.settling = Settling(self.recorder, config, clock, random)
        self.cleaner = Cleaner(
            api=api,
            cache=self.cache,
            recorder=self.recorder,
            engine=self.engine,
            config=config,
            clock=clock,
        )
        witness = Witness(api, self.cache)
        self.controller = Controller(
            cache=self.cache,
            memories=self.memories,
            queue=self.queue,
            recorder=self.recorder,
            settling=self.settling,
            beginner=beginner,
            cleaner=self.cleaner,
            witness=witness,
            engine=self.engine,
            config=config,
            clock=clock,
        )
        self.channel = Channel(
            cache=self.cache,
            memories=self.memories,
            queue=self.queue,
            recorder=self.recorder,
            settling=self.settling,
            controller=self.controller,
            witness=witness,
            clock=clock,
        )
        self.pause = Pause(api, config, clock)
        self.pauses = _follow_pause(api, config, clock)
        self.tally = Tally(self.metrics.words)
        self.cache.runs.subscribe(self.tally.change)
        self.cache.runs.subscribe(self.turnstile.see)
        self.cache.runs.subscribe(self._on_run)
        self.pauses.subscribe(self._on_pause)
        expose(self.metrics, self, clock)

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """Everything that is followed."""
        return *self.cache.informers, self.cache.warnings.informer, self.pauses

    async def run(self) -> None:
        """Work for ever, without the HTTP port."""
        async with asyncio.TaskGroup() as group:
            for informer in self.informers:
                group.create_task(informer.run())
            group.create_task(self.events.run())
            # A run may never ask for it: in the mode that the upgrade led to nothing may be shared.
            group.create_task(self.pause.clear())
            await self.cache.wait_ready()
            log.info("ready runs=%d jobs=%d", len(self.cache.runs), len(self.cache.jobs))
            group.create_task(self.sweeper.run())
            group.create_task(self.board.run())
            step = self.metrics.timed(self.controller.reconcile)
            for _ in range(WORKERS):
                group.create_task(self.queue.work(step))

    def _on_run(self, _: str, old: RunView | None, new: RunView | None) -> None:
        if old and (new is None or new.run.uid != old.run.uid):
            self.memories.forget(old.run.uid)
            self.engine.forget(Attempt.of(old.run))
        if new:
            self.memories.wake(new.run.uid)

    def _on_pause(self, _: str, old: str | None, new: str | None) -> None:
        if old and new is None:
            self.turnstile.resume()
            for view in self.cache.runs:
                if view.run.phase == PENDING:
                    self.queue.add(view.run.name)


@dataclass(frozen=True)
class Options:
    """How to run an agent; ``metrics_port`` 0 serves no metrics, ``failpoint`` is for tests."""

    log_level: str = "info"
    log_format: str = TEXT
    metrics_port: int = 0
    version: str = ""
    failpoint: str = ""


def main(path: Path, options: Options) -> int:
    """Run the agent with the configuration at ``path``; returns its exit code."""
    log_to_stderr(options.log_level, options.log_format)
    gc.freeze()
    gc.set_threshold(GARBAGE)
    return asyncio.run(run(load_agent_config(path), options))


async def run(config: AgentConfig, options: Options) -> int:
    """Run the agent and its ports until SIGTERM or SIGINT; returns 0."""
    clock = SystemClock()
    metrics = Metrics(clock)
    client = await connect(namespace=config.release.namespace)
    agent = Agent(stacked(client, config, metrics, clock, options), config, clock, metrics)
    try:
        await _serve(agent, config, options, clock)
    finally:
        await client.close()
    log.info("stopped")
    return 0


def stacked(
    client: Api, config: AgentConfig, metrics: Metrics, clock: Clock, options: Options
) -> Api:
    """Return the client as the agent uses it: the one place where what is around it is put together."""
    bucket = Bucket(config.limits.creates_per_second, config.limits.burst, clock)
    paced = Paced(Counted(client, metrics.request, clock), bucket)
    return armed(paced, options.failpoint)


async def _serve(agent: Agent, config: AgentConfig, options: Options, clock: Clock) -> None:
    heart = Heartbeat(clock, agent.metrics.loop_delay.observe)
    health = Health(agent.informers, agent.cache.informers, heart, clock)
    expose_process(agent.metrics.registry, options.version)
    work = asyncio.create_task(_work(agent, heart))
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, work.cancel)
    async with AsyncExitStack() as ports:
        app = make_app(agent.channel, health, agent.metrics)
        await ports.enter_async_context(serving(app, config.channel.port))
        if options.metrics_port:
            shown = metrics_app(lambda: scrape(agent.metrics))
            await ports.enter_async_context(serving(shown, options.metrics_port))
        with suppress(asyncio.CancelledError):
            await work


async def _work(agent: Agent, heart: Heartbeat) -> None:
    heart.watch()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(heart.run())
            group.create_task(agent.run())
    finally:
        heart.close()


def _follow_pause(api: Api, config: AgentConfig, clock: Clock) -> Informer[str]:
    fields = f"metadata.name={config.pause_lease}"
    return Informer(api, LEASES, config.release.namespace, _uid, clock=clock, fields=fields)


def _uid(obj: Object) -> str:
    return str(obj["metadata"]["uid"])

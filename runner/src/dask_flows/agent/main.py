"""Put the agent together and run it until it is told to stop."""

import asyncio
import logging
import signal
import time
from contextlib import suppress
from pathlib import Path

from dask_flows.agent.beginning import Beginner
from dask_flows.agent.cache import Cache
from dask_flows.agent.channel import Channel
from dask_flows.agent.cleaning import Cleaner
from dask_flows.agent.controller import Controller
from dask_flows.agent.engines.pods import PodsEngine
from dask_flows.agent.events import Events
from dask_flows.agent.memory import Memories
from dask_flows.agent.pause import Pause
from dask_flows.agent.recorder import Recorder
from dask_flows.agent.server import make_app, serving
from dask_flows.agent.sweep import Sweeper
from dask_flows.agent.views import RunView
from dask_flows.agent.workqueue import WorkQueue
from dask_flows.config import AgentConfig, load_agent_config
from dask_flows.deadline import Clock, SystemClock
from dask_flows.flowrun import PENDING
from dask_flows.kube.api import Api, Object
from dask_flows.kube.connect import connect
from dask_flows.kube.informer import Informer
from dask_flows.kube.resources import LEASES

log = logging.getLogger("dask_flows.agent")

WORKERS = 8
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class Agent:
    """All parts of one agent; tests drive it with a fake API and a fake clock."""

    def __init__(self, api: Api, config: AgentConfig, clock: Clock) -> None:
        namespace = config.release.namespace
        self.queue = WorkQueue(clock)
        self.cache = Cache(api, namespace, config.release.name, clock, self.queue.add)
        self.memories = Memories()
        self.events = Events(api, clock)
        self.recorder = Recorder(api, self.cache, self.events)
        self.engine = PodsEngine(api, self.cache, clock)
        beginner = Beginner(
            api=api,
            cache=self.cache,
            recorder=self.recorder,
            engine=self.engine,
            config=config,
            clock=clock,
        )
        self.cleaner = Cleaner(api, self.recorder, self.engine, config, clock)
        self.controller = Controller(
            cache=self.cache,
            memories=self.memories,
            queue=self.queue,
            recorder=self.recorder,
            beginner=beginner,
            cleaner=self.cleaner,
            engine=self.engine,
            config=config,
            clock=clock,
        )
        self.channel = Channel(
            api=api,
            cache=self.cache,
            memories=self.memories,
            queue=self.queue,
            recorder=self.recorder,
            controller=self.controller,
            clock=clock,
        )
        self.sweeper = Sweeper(api, self.cache, namespace)
        self.pause = Pause(api, config, clock)
        self.pauses = _follow_pause(api, config, clock)
        self.cache.runs.subscribe(self._on_run)
        self.pauses.subscribe(self._on_pause)

    async def run(self) -> None:
        """Work for ever, without the HTTP port."""
        async with asyncio.TaskGroup() as group:
            for informer in (*self.cache.informers, self.pauses):
                group.create_task(informer.run())
            group.create_task(self.events.run())
            # A run may never ask for it: in the mode that the upgrade led to nothing may be shared.
            group.create_task(self.pause.clear())
            await self.cache.wait_ready()
            log.info("ready runs=%d jobs=%d", len(self.cache.runs), len(self.cache.jobs))
            group.create_task(self.sweeper.run())
            for _ in range(WORKERS):
                group.create_task(self.queue.work(self.controller.reconcile))

    def _on_run(self, _: str, old: RunView | None, new: RunView | None) -> None:
        if old and (new is None or new.run.uid != old.run.uid):
            self.memories.forget(old.run.uid)
        if new:
            self.memories.wake(new.run.uid)

    def _on_pause(self, _: str, old: str | None, new: str | None) -> None:
        if old and new is None:
            for view in self.cache.runs:
                if view.run.phase == PENDING:
                    self.queue.add(view.run.name)


def main(path: Path, *, log_level: str = "info") -> int:
    """Run the agent with the configuration at ``path``; returns its exit code."""
    _log_to_stderr(log_level)
    return asyncio.run(run(load_agent_config(path)))


async def run(config: AgentConfig) -> int:
    """Run the agent and its port until SIGTERM or SIGINT; returns 0."""
    clock = SystemClock()
    api = await connect(namespace=config.release.namespace)
    agent = Agent(api, config, clock)
    app = make_app(agent.channel, alive=lambda: agent.cache.alive, ready=lambda: agent.cache.ready)
    work = asyncio.create_task(agent.run())
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, work.cancel)
    try:
        async with serving(app, config.channel.port):
            with suppress(asyncio.CancelledError):
                await work
    finally:
        await api.close()
    log.info("stopped")
    return 0


def _log_to_stderr(level: str) -> None:
    formatter = logging.Formatter(LOG_FORMAT, "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _follow_pause(api: Api, config: AgentConfig, clock: Clock) -> Informer[str]:
    fields = f"metadata.name={config.pause_lease}"
    return Informer(api, LEASES, config.release.namespace, _uid, clock=clock, fields=fields)


def _uid(obj: Object) -> str:
    return str(obj["metadata"]["uid"])

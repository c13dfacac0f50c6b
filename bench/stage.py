"""The stage of the agent's bench: a namespace with its agent, and everything that watches and plays there."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dask_flows.kube.api import Api, pages
from dask_flows.kube.resources import PODS
from kwok.agent import AgentProcess
from kwok.audit import READS, Audit, counting
from kwok.burst import create
from kwok.driver import Driver, Play, Runner
from kwok.metrics import Metrics
from kwok.observer import Observer, Seen
from kwok.session import session
from kwok.site import Site, free_port, site

PATIENCE = 3.0  # seconds per run until a part is given up
LOOK_EVERY = 5.0  # seconds
Row = list[str]


@dataclass
class Bench:
    """One site with its agent, and everything that watches it."""

    here: Site
    agent: AgentProcess
    api: Api
    driver: Driver
    observer: Observer
    audit: Audit
    metrics: Metrics
    held: set[str] = field(default_factory=set)  # runs whose flows wait until they are let go
    made: int = 0

    def behave(self, runner: Runner) -> Play:
        """Say what a runner's flow does."""
        return Play(ends=runner.run not in self.held)

    async def create(self, prefix: str, count: int) -> list[str]:
        """Create runs at once, as fast as the API server takes them."""
        names = [f"{prefix.replace(' ', '-')}-{n}" for n in range(count)]
        await create(self.api, self.here.namespace, names)
        return names

    async def until_ended(self, names: Iterable[str]) -> list[Seen]:
        """Wait until all of these have ended; returns what was seen of them."""
        wanted, seen = list(names), self.observer.runs
        await self._until(wanted, lambda run: run.ended is not None)
        bad = [name for name in wanted if seen[name].phase != "Succeeded"]
        if bad:
            raise SystemExit(f"{len(bad)} runs did not succeed, such as {seen[bad[0]]}")
        return [seen[name] for name in wanted]

    async def until_idle(self) -> None:
        """Wait until nothing is left to do about any run: the last of a burst keep the agent busy for seconds."""
        await self._until(list(self.observer.runs), lambda run: run.cleaned)

    async def until_quiet(self) -> None:
        """Wait for Kubernetes, too: its Job controller lets go of a burst's pods for minutes, and makes none meanwhile."""
        await self.until_idle()
        async with asyncio.timeout(60 + PATIENCE * len(self.observer.runs)):
            while await self._has_held_pods():  # noqa: ASYNC110 - a watch of ten thousand pods would be a load
                await asyncio.sleep(LOOK_EVERY)

    async def _has_held_pods(self) -> bool:
        async with aclosing(pages(self.api, PODS, self.here.namespace)) as listed:
            async for page in listed:
                if any(pod["metadata"].get("finalizers") for pod in page.items):
                    return True
        return False

    async def _until(self, wanted: list[str], reached: Callable[[Seen], bool]) -> None:
        seen, left = self.observer.runs, wanted[::-1]

        def all_of_them() -> bool:
            # Asked after each change: looking at all of them would be most of our work.
            while left and left[-1] in seen and reached(seen[left[-1]]):
                left.pop()
            return not left

        await self.observer.until(all_of_them, 60 + PATIENCE * len(wanted))


class Usage:
    """What the agent has used since this was made."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._begin = time.monotonic()
        self._cpu = bench.agent.cpu_seconds()
        self._own = time.process_time()
        self._writes = bench.audit.writes
        self._requests = bench.metrics.requests()

    async def rows(self, part: str, runs: int) -> list[Row]:
        """Say it per run."""
        await self._bench.until_idle()  # what cleans up after the last runs belongs to them
        await asyncio.sleep(2)  # so does the log
        cpu = self._bench.agent.cpu_seconds() - self._cpu
        own = time.process_time() - self._own
        seconds = time.monotonic() - self._begin
        writes = self._bench.audit.writes - self._writes
        requests = self._bench.metrics.requests() - self._requests
        reads = Counter({key: n for key, n in requests.items() if key[0] in READS})
        events = sum(n for (_, what), n in requests.items() if what == "events" and _ not in READS)
        rest = sum(writes.values()) - sum(n for (_, what), n in writes.items() if what == "events")
        # In mode ephemeral a run has a Service, a NetworkPolicy, a ConfigMap, a scheduler and a worker more to create
        # and to delete.
        target = "≤ 8" if self._bench.here.mode == "static" else "≤ 18"
        return [
            [part, "agent CPU per run", f"**{1000 * cpu / runs:.2f} ms**", "≤ 5 ms"],
            [part, "agent peak RSS", f"**{self._bench.agent.peak_mib():.0f} MiB**", "≤ 200 MiB"],
            [
                part,
                "API writes per run",
                f"**{rest / runs:.2f}** ({_list(writes, runs)})",
                f"{target}, one more for one that waits",
            ],
            [part, "Events per run, apart", f"{events / runs:.2f}", ""],
            [
                part,
                "API reads per run",
                f"{sum(reads.values()) / runs:.2f} ({_list(reads, runs)})",
                "",
            ],
            [part, "this program's CPU, of one core", f"{100 * own / seconds:.0f} %", ""],
        ]


def _list(calls: Counter[tuple[str, str]], runs: int) -> str:
    parts = [
        f"{verb} {resource} {n / runs:.2f}"
        for (verb, resource), n in sorted(calls.items(), key=lambda item: -item[1])
        if resource != "events" and n / runs >= 0.005
    ]
    return ", ".join(parts)


@asynccontextmanager
async def bench_in(mode: str, values: dict[str, Any], profile: str) -> AsyncIterator[Bench]:
    """Set up a namespace with its agent, driver and observer."""
    async with AsyncExitStack() as stack:
        here = stack.enter_context(site("bench", mode=mode, **values))
        agent = here.agent()
        if profile:
            program = str(Path(__file__).with_name("profiled.py"))
            agent.python = [sys.executable, program, f"{profile}.{mode}"]
        stack.callback(agent.stop)
        metrics = Metrics(free_port())
        agent.start(*metrics.args)
        agent.wait_ready()
        audit = stack.enter_context(counting(here.account))
        apis = [await stack.enter_async_context(session(here.namespace)) for _ in range(3)]
        driver, observer = Driver(apis[1], here.namespace), Observer(apis[2], here.namespace)
        bench = Bench(here, agent, apis[0], driver, observer, audit, metrics)
        driver.behave = bench.behave
        tasks = [asyncio.create_task(part.work()) for part in (driver, observer)]
        try:
            yield bench
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

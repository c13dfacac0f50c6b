"""Write the status of FlowRuns: guarded, checked against the table of phases, logged, told as Events.

Every write carries the resourceVersion it was decided on, so a decision on a stale copy is refused by
the API server (``Conflict``) instead of undoing somebody's work. Writes of one run wait for each other:
what this agent itself has just written must not cost a refused request.
"""

import asyncio
import logging
from collections.abc import Callable
from weakref import WeakValueDictionary

from dask_flows.agent.cache import Cache
from dask_flows.agent.events import Events
from dask_flows.agent.metrics import Metrics
from dask_flows.agent.state import refusal
from dask_flows.agent.status import Patch
from dask_flows.agent.views import RunView
from dask_flows.flowrun import FlowRun
from dask_flows.kube.api import Api, Object
from dask_flows.kube.errors import Conflict, NotFound
from dask_flows.kube.resources import FLOWRUNS

log = logging.getLogger("dask_flows.agent")

RETRIES = 8  # of a write that races with other writers of the same run
# Their messages are the program's own words, which may hold what a log must not: they stay in status.
OF_THE_FLOW = ("FlowFailed", "BadParameters", "BadFlow")


class ForbiddenTransition(RuntimeError):
    """A phase was to follow one that it must not follow: a mistake in this program."""


class Recorder:
    """Write status, and nothing else of a FlowRun."""

    def __init__(self, api: Api, cache: Cache, events: Events, metrics: Metrics) -> None:
        self._api = api
        self._cache = cache
        self._events = events
        self._metrics = metrics
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def write(self, run: FlowRun, patch: Patch) -> Object:
        """Merge a patch into the status as it was seen; returns the whole object.

        Raises Conflict if the FlowRun has changed since, NotFound if it is gone.
        """
        async with self._turn(run):
            return await self._write(run, patch)

    def _turn(self, run: FlowRun) -> asyncio.Lock:
        return self._turns.setdefault(run.uid, asyncio.Lock())

    async def _write(self, run: FlowRun, patch: Patch) -> Object:
        if (newest := self._newest(run)).resource_version != run.resource_version:
            raise Conflict(f"run {run.name} has changed: {newest.phase}, {newest.resource_version}")
        phase = patch.get("phase", run.phase)
        if why := refusal(run, patch):
            raise ForbiddenTransition(f"run {run.name}: {why}")
        view = self._cache.runs.get(run.name)
        generation = {"observedGeneration": view.generation} if view and view.generation else {}
        body = {
            "metadata": {"resourceVersion": run.resource_version},
            "status": {**patch, **generation},
        }
        obj = await self._api.patch(FLOWRUNS, run.namespace, run.name, body, subresource="status")
        self._cache.runs.assume(obj)
        self._metrics.wrote(run, patch, self._ended_at(run))
        if phase != run.phase or patch.get("reason") not in (None, run.status.get("reason")):
            self._tell(run, phase, patch)
        return obj

    async def update(self, run: FlowRun, change: Callable[[FlowRun], Patch | None]) -> None:
        """Write what ``change`` makes of the newest copy; None from it means: leave it.

        Raises Conflict only after several lost races, NotFound if the FlowRun is gone or replaced.
        """
        async with self._turn(run):
            run = self._newest(run)
            for left in reversed(range(RETRIES)):
                patch = change(run)
                if patch is None:
                    return
                try:
                    await self._write(run, patch)
                except Conflict:
                    if not left:
                        raise
                    run = await self.read(run)
                else:
                    return

    async def read(self, run: FlowRun) -> FlowRun:
        """Return the run as the API server has it now; raises NotFound for a namesake."""
        obj = await self.read_whole(run)
        newest = self._newest(run)  # the cache has just been given it, and has projected it
        same = newest.resource_version == obj["metadata"]["resourceVersion"]
        return newest if same else RunView.of(obj).run

    def _newest(self, run: FlowRun) -> FlowRun:
        """Return the cache's copy, which never goes back; ours if the cache has lost sight of the run."""
        view = self._cache.runs.get(run.name)
        return view.run if view and view.run.uid == run.uid else run

    async def read_whole(self, run: FlowRun) -> Object:
        """Return the whole object, parameters and files included."""
        obj = await self._api.get(FLOWRUNS, run.namespace, run.name)
        if obj["metadata"]["uid"] != run.uid:
            raise NotFound(f"FlowRun {run.name} has been replaced by a new one")
        self._cache.runs.assume(obj)
        return obj

    def _ended_at(self, run: FlowRun) -> str:
        """Return when the container of the run's runner ended, as far as its pod tells."""
        for pod in self._cache.pods_of(run.uid, run.attempt):
            if pod.is_runner and pod.termination:
                return str(pod.termination.get("finishedAt") or "")
        return ""

    def _tell(self, run: FlowRun, phase: str, patch: Patch) -> None:
        reason, message = patch.get("reason") or "", patch.get("message") or ""
        attempt = patch.get("attempt", run.attempt)
        log.info(
            "transition run=%s attempt=%d from=%s to=%s reason=%s message=%s",
            run.name,
            attempt,
            run.phase,
            phase,
            reason,
            "" if reason in OF_THE_FLOW else message,
        )
        text = message or (f"{phase}, attempt {attempt}" if attempt else phase)
        failed = phase == "Failed" or bool(patch.get("retryTime"))
        self._events.tell(run, reason or phase, text, warning=failed)

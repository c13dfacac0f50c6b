"""Remove what no live attempt needs: the net below every other way of cleaning up.

At the start, every ten minutes, and when something was made too late, all objects with this release's
labels are compared with the FlowRuns. An object goes if its FlowRun is gone, or if its attempt is over and
cleaned up and it is not the finished Job or its pod, which stay for the logs. A FlowRun is called gone, and an unfinished
Job one that was made too late, only after the API server has said so itself.

A release keeps thousands of finished Jobs, so lists are read page by page, and only what may have to go
is kept of them. Nothing else is asked before a list is at its end: its snapshot is there for minutes.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass

from dask_flows import names
from dask_flows.agent.attempt import Attempt
from dask_flows.agent.cache import Cache
from dask_flows.agent.conditions import CLEANED_UP, condition
from dask_flows.agent.views import JobView, PodView, attempt_of
from dask_flows.agent.witness import pods_now
from dask_flows.kube.api import Api, Object, pages, remove
from dask_flows.kube.errors import KubeError, NotFound
from dask_flows.kube.resources import (
    CONFIG_MAPS,
    FLOWRUNS,
    JOBS,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
    Resource,
)

log = logging.getLogger("dask_flows.agent")

EVERY = 600.0
RETRY = 30.0
SOON = 5.0  # what was made at the same time is there by then, and so is our copy of the run
# Jobs first: their pods and Secrets go with them.
SWEPT = (JOBS, PODS, SERVICES, CONFIG_MAPS, NETWORK_POLICIES)


@dataclass(frozen=True, slots=True)
class Suspect:
    """What is kept of an object that may have to go."""

    name: str
    uid: str
    run: str
    run_uid: str
    attempt: int
    component: str

    @classmethod
    def of(cls, obj: Object) -> "Suspect":
        """Take what tells whose the object is."""
        meta = obj["metadata"]
        labels = meta.get("labels") or {}
        keys = (names.LABEL_RUN, names.LABEL_RUN_UID, names.LABEL_COMPONENT)
        run, uid, component = (str(labels.get(key) or "") for key in keys)
        return cls(meta["name"], meta["uid"], run, uid, attempt_of(obj), component)


class Sweeper:
    """Look for leftovers."""

    def __init__(self, api: Api, cache: Cache, namespace: str) -> None:
        self._api = api
        self._cache = cache
        self._namespace = namespace
        self.swept: Counter[str] = Counter()  # by resource
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            try:
                swept = await self.sweep()
                pause = EVERY
                if swept:
                    log.info("swept objects=%d", swept)
            except KubeError as error:
                pause = max(RETRY, error.retry_after or 0.0)
                log.warning("sweep failed again=%.0fs error=%s", pause, error)
            except Exception:  # whatever it was, sweeping goes on
                pause = RETRY
                log.exception("sweep failed again=%.0fs", pause)
            await self._rest(pause)

    def soon(self) -> None:
        """Sweep in a moment."""
        self._wanted.set()

    async def _rest(self, pause: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._wanted.wait()
            await asyncio.sleep(SOON)
        self._wanted.clear()

    async def sweep(self) -> int:
        """Remove leftovers once; returns how many objects there were."""
        count = 0
        for resource in SWEPT:
            for one in await self._suspects(resource):
                if await self._left_over(resource, one):
                    count += await self._remove(resource, one)
        return count

    async def _suspects(self, resource: Resource) -> list[Suspect]:
        """Return what goes as far as our own copies tell; raises Gone if the list took too long."""
        found: list[Suspect] = []
        listed = pages(self._api, resource, self._namespace, labels=self._cache.selector)
        async with aclosing(listed) as all_pages:
            async for page in all_pages:
                found += [Suspect.of(obj) for obj in page.items if self._suspicious(resource, obj)]
        return found

    def _suspicious(self, resource: Resource, obj: Object) -> bool:
        one = Suspect.of(obj)
        if not one.run_uid or "deletionTimestamp" in obj["metadata"]:
            return False  # not made by us, or on its way out
        view = self._cache.run_by_uid(one.run_uid)
        if view is None:
            return True
        run = view.run
        if one.attempt > run.attempt:
            return False  # claimed since: our copy of the run is older than this list
        if one.attempt == run.attempt and condition(run, CLEANED_UP) is None:
            return False
        if resource is JOBS:
            job = JobView.of(obj)
            return not job.finished and not _any_ended(
                self._cache.pods_of(one.run_uid, one.attempt), one
            )
        # A runner's pod comes and goes with its Job.
        return resource is not PODS or one.component != "runner"

    async def _left_over(self, resource: Resource, one: Suspect) -> bool:
        if self._cache.run_by_uid(one.run_uid) is None:
            return await self._gone(one)
        return resource is not JOBS or not await self._has_ended(one)

    async def _has_ended(self, job: Suspect) -> bool:
        """Ask whether an unfinished Job of an attempt that is over has a pod that has ended.

        The attempt was cleaned up after its pod's end, and Kubernetes marks a Job finished some time after
        that: such a Job is as it should be, for however long that takes. A Job without a pod that has ended
        was made too late. It has no log, nobody gives its pod a Secret or leave to start, and so
        it would never finish.
        """
        attempt = Attempt(self._namespace, job.run, job.run_uid, job.attempt)
        return _any_ended(await pods_now(self._api, attempt), job)

    async def _gone(self, one: Suspect) -> bool:
        try:
            found = await self._api.get(FLOWRUNS, self._namespace, one.run)
        except NotFound:
            return True
        return bool(found["metadata"]["uid"] != one.run_uid)

    async def _remove(self, resource: Resource, one: Suspect) -> int:
        log.info("sweep resource=%s name=%s run=%s", resource, one.name, one.run)
        gone = await remove(self._api, resource, self._namespace, one.name, uid=one.uid)
        self.swept[str(resource)] += gone
        return gone


def _any_ended(pods: Iterable[PodView], job: Suspect) -> bool:
    return any(pod.ended for pod in pods if pod.owner_uid == job.uid)

"""Remove what no live attempt needs: the net below every other way of cleaning up.

At the start, every ten minutes, and when something was made too late, all objects with this release's labels are compared with the
FlowRuns. An object goes if its FlowRun is gone, or if its attempt is over and cleaned up and it is not
the finished Job or its pod, which stay for the logs. A FlowRun is called gone only after the API server
has said so itself.
"""

import asyncio
import logging
from collections import Counter
from contextlib import suppress

from dask_flows import names
from dask_flows.agent.cache import Cache
from dask_flows.agent.conditions import CLEANED_UP, condition
from dask_flows.agent.views import attempt_of
from dask_flows.kube.api import Api, Object, list_all, remove
from dask_flows.kube.errors import KubeError, NotFound
from dask_flows.kube.resources import (
    CONFIG_MAPS,
    FLOWRUNS,
    JOBS,
    PODS,
    SERVICES,
    Resource,
)

log = logging.getLogger("dask_flows.agent")

EVERY = 600.0
RETRY = 30.0
SOON = 5.0  # what was made at the same time is there by then, and so is our copy of the run
# Jobs first: their pods and Secrets go with them.
SWEPT = (JOBS, PODS, SERVICES, CONFIG_MAPS)


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
            page = await list_all(self._api, resource, self._namespace, labels=self._cache.selector)
            for obj in page.items:
                if await self._left_over(resource, obj):
                    count += await self._remove(resource, obj)
        return count

    async def _left_over(self, resource: Resource, obj: Object) -> bool:
        labels = obj["metadata"].get("labels") or {}
        uid = str(labels.get(names.LABEL_RUN_UID) or "")
        if not uid or "deletionTimestamp" in obj["metadata"]:
            return False  # not made by us, or on its way out
        view = self._cache.run_by_uid(uid)
        if view is None:
            return await self._gone(str(labels.get(names.LABEL_RUN) or ""), uid)
        attempt, run = attempt_of(obj), view.run
        if attempt > run.attempt:
            return False  # claimed since: our copy of the run is older than this list
        if attempt == run.attempt and condition(run, CLEANED_UP) is None:
            return False
        of_job = resource is JOBS or labels.get(names.LABEL_COMPONENT) == "runner"
        return resource in (SERVICES, CONFIG_MAPS) or not of_job

    async def _gone(self, name: str, uid: str) -> bool:
        try:
            found = await self._api.get(FLOWRUNS, self._namespace, name)
        except NotFound:
            return True
        return bool(found["metadata"]["uid"] != uid)

    async def _remove(self, resource: Resource, obj: Object) -> int:
        meta = obj["metadata"]
        log.info("sweep resource=%s name=%s run=%s", resource, meta["name"], _run(obj))
        gone = await remove(self._api, resource, self._namespace, meta["name"], uid=meta["uid"])
        self.swept[str(resource)] += gone
        return gone


def _run(obj: Object) -> str:
    return str((obj["metadata"].get("labels") or {}).get(names.LABEL_RUN) or "")

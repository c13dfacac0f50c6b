"""Ask the API server itself, before what a copy does not show is taken for gone.

Watches come back one by one after an interruption: the newest copy of a run says nothing about how old
the copies of its Job and pods are. What is there may be believed; what is missing has to be asked for.
"""

from dask_flows.agent.attempt import Attempt
from dask_flows.agent.cache import Cache
from dask_flows.agent.views import JobView, PodView
from dask_flows.kube.api import Api, Object, list_all
from dask_flows.kube.errors import NotFound
from dask_flows.kube.resources import JOBS, PODS
from dask_flows.names import LABEL_ATTEMPT, LABEL_RUN_UID


class Witness:
    """Bring the cache up to date about single attempts."""

    def __init__(self, api: Api, cache: Cache) -> None:
        self._api = api
        self._cache = cache

    async def look(self, attempt: Attempt) -> JobView | None:
        """Let the cache have the attempt's Job and pods as they are now; returns the Job."""
        for pod in await _pods(self._api, attempt):
            self._cache.pods.assume(pod)
        return await self.job(attempt)

    async def job(self, attempt: Attempt) -> JobView | None:
        """Let the cache have the attempt's Job, and return it; None if it is gone, which the cache may not know."""
        try:
            job = await self._api.get(JOBS, attempt.namespace, attempt.base)
        except NotFound:
            return None
        view = JobView.of(job)
        if not view.over:  # the cache follows no others, and would keep it
            self._cache.jobs.assume(job)
        return view


async def pods_now(api: Api, attempt: Attempt) -> list[PodView]:
    """Return the pods of an attempt by the word of the API server."""
    return [PodView.of(pod) for pod in await _pods(api, attempt)]


async def _pods(api: Api, attempt: Attempt) -> list[Object]:
    labels = f"{LABEL_RUN_UID}={attempt.uid},{LABEL_ATTEMPT}={attempt.number}"
    return (await list_all(api, PODS, attempt.namespace, labels=labels)).items

"""The agent's picture of the cluster: followed objects, found by run."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from dask_flows import names
from dask_flows.agent.podlists import pod_lists
from dask_flows.agent.views import JobView, PodView, RunView
from dask_flows.agent.warnings import Warnings
from dask_flows.deadline import Clock
from dask_flows.kube.api import Api
from dask_flows.kube.informer import Informer
from dask_flows.kube.resources import FLOWRUNS, JOBS, PODS


class _Owned(Protocol):
    """An object that names its run."""

    @property
    def name(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def run_uid(self) -> str: ...


class Cache:
    """Follow FlowRuns, and the Jobs and pods of this release; call ``changed`` with run names."""

    def __init__(
        self, api: Api, namespace: str, release: str, clock: Clock, changed: Callable[[str], None]
    ) -> None:
        self.selector = f"{names.LABEL_MANAGED_BY}={names.MANAGER},{names.LABEL_INSTANCE}={release}"
        self.runs = Informer(api, FLOWRUNS, namespace, RunView.of, clock=clock)
        # Thousands of Jobs that only stay for their logs would double the time that a restart takes.
        living = f"{self.selector},!{names.LABEL_OVER}"
        self.jobs = Informer(api, JOBS, namespace, JobView.of, clock=clock, labels=living)
        lists = pod_lists(api, namespace, self.selector, self.runs, self.pods_of)
        self.pods = Informer(
            api, PODS, namespace, PodView.of, clock=clock, labels=self.selector, lists=lists
        )
        self.warnings = Warnings(api, namespace, clock, self._on_warning)
        self._changed = changed
        self._run_names: dict[str, str] = {}
        self._job_names: defaultdict[str, set[str]] = defaultdict(set)
        self._pod_names: defaultdict[str, set[str]] = defaultdict(set)
        self.runs.subscribe(self._on_run)
        self.jobs.subscribe(self._on_job)
        self.pods.subscribe(self._on_pod)

    @property
    def informers(self) -> tuple[Informer[RunView], Informer[JobView], Informer[PodView]]:
        """All of them."""
        return self.runs, self.jobs, self.pods

    @property
    def ready(self) -> bool:
        """Whether everything has been listed once."""
        return all(informer.synced.is_set() for informer in self.informers)

    async def wait_ready(self) -> None:
        """Wait until everything has been listed once."""
        await asyncio.gather(*(informer.synced.wait() for informer in self.informers))

    async def ready_within(self, seconds: float) -> bool:
        """Wait for that, but not longer; returns whether it is so."""
        if self.ready:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait_ready()
        return self.ready

    def run_by_uid(self, uid: str) -> RunView | None:
        """Return the FlowRun of this UID."""
        view = self.runs.get(self._run_names.get(uid, ""))
        return view if view and view.run.uid == uid else None

    def job_of(self, uid: str, attempt: int) -> JobView | None:
        """Return the Job of an attempt: by its name and owner, for anybody may copy our labels."""
        jobs = (self.jobs.get(name) for name in self._job_names.get(uid, ()))
        ours = (job for job in jobs if job and (job.owner_uid, job.attempt) == (uid, attempt))
        name = names.attempt_name
        return next((job for job in ours if job.name == name(job.run, uid, attempt)), None)

    def pods_of(self, uid: str, attempt: int) -> list[PodView]:
        """Return the pods of an attempt, oldest first."""
        pods = (self.pods.get(name) for name in self._pod_names.get(uid, ()))
        mine = [pod for pod in pods if pod and pod.attempt == attempt]
        return sorted(mine, key=lambda pod: (pod.created, len(pod.name), pod.name))

    def _on_run(self, name: str, old: RunView | None, new: RunView | None) -> None:
        if old and (new is None or new.run.uid != old.run.uid):
            self._run_names.pop(old.run.uid, None)
        if new:
            self._run_names[new.run.uid] = name
        self._changed(name)

    def _on_job(self, _: str, old: JobView | None, new: JobView | None) -> None:
        self._index(self._job_names, old, new)

    def _on_pod(self, _: str, old: PodView | None, new: PodView | None) -> None:
        self._index(self._pod_names, old, new)

    def _on_warning(self, attempt: str) -> None:
        job = self.jobs.get(attempt)
        if job:  # else the Job's arrival is the next reason to look
            self._changed(job.run)

    def _index(
        self, index: defaultdict[str, set[str]], old: _Owned | None, new: _Owned | None
    ) -> None:
        if old:
            index[old.run_uid].discard(old.name)
            if not index[old.run_uid]:
                del index[old.run_uid]
        if new:
            index[new.run_uid].add(new.name)
        for run in _distinct(old, new):
            self._changed(run)


def _distinct(*objects: _Owned | None) -> Iterable[str]:
    return {obj.run for obj in objects if obj and obj.run}

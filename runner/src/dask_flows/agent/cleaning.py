"""Remove what an attempt leaves behind, once its outcome is recorded.

What stays is the finished Job with its pod, for ``kubectl logs``, until its TTL ends; a Job whose pod
never began has no logs and goes too. The attempt's Secret is the Job's, and goes with it.
"""

from dask_flows.agent.attempt import Attempt
from dask_flows.agent.cache import Cache
from dask_flows.agent.engines.base import Engine
from dask_flows.agent.observed import Observed
from dask_flows.agent.ownership import remove_own
from dask_flows.agent.recorder import Recorder
from dask_flows.agent.status import cleaned_up
from dask_flows.agent.timing import age, ended
from dask_flows.agent.views import PodView
from dask_flows.agent.witness import pods_now
from dask_flows.config import AgentConfig
from dask_flows.deadline import Clock
from dask_flows.flowrun import FlowRun
from dask_flows.kube.api import Api, Object, remove
from dask_flows.kube.errors import NotFound
from dask_flows.kube.resources import CONFIG_MAPS, JOBS, PODS
from dask_flows.names import LABEL_OVER

LOOK_AGAIN, LOOK_SELDOM = 1.0, 10.0
EXIT_GRACE = 30.0  # a runner that has reported its outcome has nothing left to do


class Cleaner:
    """Take attempts away."""

    def __init__(
        self,
        *,
        api: Api,
        cache: Cache,
        recorder: Recorder,
        engine: Engine,
        config: AgentConfig,
        clock: Clock,
    ) -> None:
        self._api = api
        self._cache = cache
        self._recorder = recorder
        self._engine = engine
        self._config = config
        self._clock = clock

    async def clean(self, seen: Observed) -> float | None:
        """Remove everything but the Job; returns when to look again, None once all is gone."""
        attempt = Attempt.of(seen.run)
        await self._settle_job(seen, attempt)
        own_cluster = seen.run.status.get("mode") == "ephemeral"
        gone = not own_cluster or await self._engine.end(attempt)
        dead = await self._runner_ended(seen)
        if not gone or not dead or (seen.run.between and await self._alive(attempt)):
            # Each look costs requests, and what changes wakes us anyway: look less often with time.
            return min(max(self._since_end(seen.run) / 2, LOOK_AGAIN), LOOK_SELDOM)
        if own_cluster:
            # Only now: the runner was closed to others, too, while it lived.
            if not await self._engine.delete(attempt):
                return LOOK_AGAIN
            await remove_own(self._api, CONFIG_MAPS, attempt, attempt.base)
        await self._recorder.write(seen.run, cleaned_up(seen.run, self._clock.now()))
        return None

    async def escalate(self, seen: Observed) -> None:
        """Let Kubernetes end the pods of runner and cluster: the runner did not stop."""
        if seen.runner is not None:
            await self.end_pod(seen.run.namespace, seen.runner)
        if seen.run.status.get("mode") == "ephemeral":
            await self._engine.end(Attempt.of(seen.run))

    async def end_pod(self, namespace: str, pod: PodView) -> None:
        """Send SIGTERM and, after its grace period, SIGKILL; pod, logs and message stay.

        The deadline goes on the pod: on the Job it would delete the pod with its logs.
        """
        if pod.ended or pod.active_deadline == 1:
            return
        patch = {"spec": {"activeDeadlineSeconds": 1}}
        try:
            told = await self._api.patch(PODS, namespace, pod.name, patch)
        except NotFound:
            return
        self._cache.pods.assume(told)  # a watch may be late, and this is asked again soon

    async def _settle_job(self, seen: Observed, attempt: Attempt) -> None:
        if seen.job is None or seen.job.deleting or seen.job.over:
            return
        if not await self._began(seen, attempt, seen.job.uid):
            await remove(self._api, JOBS, attempt.namespace, seen.job.name, uid=seen.job.uid)
            return
        runs = self._config.runs_of(seen.run.spec.profile)
        ttl = seen.run.spec.ttl if seen.run.spec.ttl is not None else runs.ttl
        patch: Object = {"metadata": {"labels": {LABEL_OVER: "true"}}}
        if seen.job.ttl is None and ttl is not None:
            patch["spec"] = {"ttlSecondsAfterFinished": ttl}
        try:
            job = await self._api.patch(JOBS, attempt.namespace, seen.job.name, patch)
        except NotFound:
            return
        self._cache.jobs.assume(job)  # else the next look does it again

    async def _began(self, seen: Observed, attempt: Attempt, job: str) -> bool:
        """Whether a runner has run, and so has a log; the cache need not hold one that has ended."""
        # A start is proof, too: the kubelet may say so later than the runner's finish.
        if seen.started_by or any(pod.begun for pod in seen.runners):
            return True
        if any(pod.owner_uid == job for pod in seen.runners):
            return False  # a Job has but one
        return any(pod.is_runner and pod.begun for pod in await pods_now(self._api, attempt))

    async def _runner_ended(self, seen: Observed) -> bool:
        alive = [pod for pod in seen.runners if not pod.ended]
        if alive and self._since_end(seen.run) > EXIT_GRACE:
            for pod in alive:
                await self.end_pod(seen.run.namespace, pod)
        return not alive

    async def _alive(self, attempt: Attempt) -> bool:
        """Ask the API server itself: the next attempt must not meet a pod that the cache has not seen."""
        return not all(pod.ended for pod in await pods_now(self._api, attempt))

    def _since_end(self, run: FlowRun) -> float:
        return age(ended(run), self._clock.now())

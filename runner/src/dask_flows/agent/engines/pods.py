"""The default engine: a Service, a NetworkPolicy, a scheduler pod and worker pods, straight from the templates.

The scheduler's death ends the attempt, so its pod is never replaced. A worker that is deleted, evicted
or failed is replaced under the next number, with growing pauses so that a bad node or image does not
turn into a storm of pods. Numbers are never used twice: the next one is an annotation of the scheduler's
pod, written before the pods that use it.

Creations wait for their turn, and the agent has few hands to wait with. So clusters grow a few workers at a
time and only some of them at once: the other hands stay free for the other runs.
"""

from collections.abc import Sequence

from dask_flows import manifests, names
from dask_flows.agent.attempt import Attempt
from dask_flows.agent.cache import Cache
from dask_flows.agent.ownership import create_or_adopt, remove_own, together
from dask_flows.agent.scaling import ASK_AGAIN, AT_A_TIME, Goal, Growth, Pacing, rescale
from dask_flows.agent.views import NEXT_WORKER, PodView
from dask_flows.deadline import Clock
from dask_flows.kube.api import Api, Object, remove
from dask_flows.kube.errors import Forbidden, Invalid, KubeError
from dask_flows.kube.resources import NETWORK_POLICIES, PODS, SERVICES
from dask_flows.plan import Plan

# Clusters that add workers at the same time; no more than four attempts begin meanwhile.
GROWING = 3
TELL_AGAIN = 20.0  # seconds
END_GRACE = 2  # seconds for pods whose attempt is over: nobody needs their data any more


class PodsEngine:
    """Make clusters of bare pods."""

    def __init__(self, api: Api, cache: Cache, clock: Clock) -> None:
        self._api = api
        self._cache = cache
        self._clock = clock
        self._pacing: dict[str, Pacing] = {}
        self._told: dict[str, dict[str, float]] = {}  # by attempt: when which pod was deleted
        self._growing = 0

    async def prepare(self, plan: Plan) -> Plan:
        """Make the scheduler's Service, whose IP workers and runner connect to, and close the pods to others."""
        service = manifests.scheduler_service(plan)
        calls = [create_or_adopt(self._api, SERVICES, plan, service)]
        if plan.network_policy is not None:
            policy = manifests.network_policy(plan)
            calls.append(self._close(plan, policy))
        made, *_ = await together(*calls)
        return plan.at(made["spec"]["clusterIP"])

    async def _close(self, plan: Plan, policy: Object) -> Object:
        try:
            return await create_or_adopt(self._api, NETWORK_POLICIES, plan, policy)
        except Invalid as error:
            # The release's values or an admission rule, never the run: it waits until somebody mends them.
            found = f"{error.found}; see ephemeral.networkPolicy in the release's values"
            raise Forbidden(found, verb=error.verb, resource=error.resource) from error

    async def create(self, plan: Plan) -> None:
        """Make the scheduler and the minimum of workers, all at once."""
        scheduler = manifests.scheduler_pod(plan)
        scheduler["metadata"]["annotations"][NEXT_WORKER] = str(plan.minimum)
        workers = [manifests.worker_pod(plan, number) for number in range(plan.minimum)]
        await together(*(self._make(plan, pod) for pod in (scheduler, *workers)))

    def observe(self, attempt: Attempt) -> Sequence[PodView]:
        """Return the scheduler's and the workers' pods, oldest first."""
        pods = self._cache.pods_of(attempt.uid, attempt.number)
        return [pod for pod in pods if pod.component in ("scheduler", "worker")]

    async def scale(self, plan: Plan, goal: Goal) -> Growth:
        """Add or replace some workers, or remove all that are too many."""
        pods = self.observe(Attempt(plan.namespace, plan.run, plan.uid, plan.attempt))
        scheduler = next((pod for pod in pods if pod.component == "scheduler"), None)
        if scheduler is None or scheduler.ended or scheduler.deleting:
            return Growth(granted=False)
        workers = [pod for pod in pods if pod.component == "worker"]
        number = self._next_number(plan, scheduler, workers)
        change = rescale(workers, goal.size, goal.idle, number)
        pacing = self._pacing.setdefault(plan.base, Pacing(plan.minimum))
        for name in change.remove:
            await remove(self._api, PODS, plan.namespace, name)
        if not change.add:
            pacing.failures = 0
            return Growth()
        now = self._clock.monotonic()
        if (pause := pacing.pause(goal.size, len(change.add), now)) > 0:
            return Growth(pause, granted=False)
        if self._growing >= GROWING:
            return Growth(ASK_AGAIN, granted=False)
        some = change.add[:AT_A_TIME]
        try:
            await self._add(plan, scheduler, some)
        except KubeError as error:
            # What was reserved for them is told by a watch, at once: without a pause this would not end.
            pacing.failed(error, self._clock.monotonic())
            raise
        return Growth(pacing.added(len(some), self._clock.monotonic()))

    async def end(self, attempt: Attempt) -> bool:
        """Delete the pods; True once they are gone."""
        alive = [pod for pod in self.observe(attempt) if not pod.deleting]
        # Taken once: a run that is deleted meanwhile is forgotten, and stays so.
        told = self._told.setdefault(attempt.base, {}) if alive else {}
        await together(*(self._end(attempt, pod, told) for pod in alive))
        return not self.observe(attempt)

    async def delete(self, attempt: Attempt) -> bool:
        """Delete the pods, then Service and policy; True once all are gone.

        The policy is asked for without knowing the plan: another configuration may have made it.
        """
        if not await self.end(attempt):
            return False
        await together(
            remove_own(self._api, SERVICES, attempt, names.scheduler_name(attempt.base)),
            remove_own(self._api, NETWORK_POLICIES, attempt, attempt.base),
        )
        self.forget(attempt)
        return True

    def forget(self, attempt: Attempt) -> None:
        """Drop what is remembered of an attempt whose run is gone."""
        self._pacing.pop(attempt.base, None)
        self._told.pop(attempt.base, None)

    async def _add(self, plan: Plan, scheduler: PodView, numbers: Sequence[int]) -> None:
        self._growing += 1
        try:
            await self._reserve(plan, scheduler, numbers[-1] + 1)
            pods = (manifests.worker_pod(plan, number) for number in numbers)
            await together(*(self._make(plan, pod) for pod in pods))
        finally:
            self._growing -= 1

    async def _make(self, plan: Plan, body: Object) -> None:
        self._cache.pods.assume(await create_or_adopt(self._api, PODS, plan, body))

    async def _end(self, attempt: Attempt, pod: PodView, told: dict[str, float]) -> None:
        """Delete a pod; a watch tells later that this is so, and until then it is not told again."""
        now = self._clock.monotonic()
        if now - told.get(pod.uid, float("-inf")) >= TELL_AGAIN:
            await remove(self._api, PODS, attempt.namespace, pod.name, uid=pod.uid, grace=END_GRACE)
            told[pod.uid] = now

    def _next_number(self, plan: Plan, scheduler: PodView, workers: Sequence[PodView]) -> int:
        used = (names.worker_number(plan.base, worker.name) for worker in workers)
        return max([scheduler.next_worker, *(n + 1 for n in used if n is not None)])

    async def _reserve(self, plan: Plan, scheduler: PodView, number: int) -> None:
        patch = {"metadata": {"annotations": {NEXT_WORKER: str(number)}}}
        pod = await self._api.patch(PODS, plan.namespace, scheduler.name, patch)
        self._cache.pods.assume(pod)

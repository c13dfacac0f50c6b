"""Make an attempt's Secret and Job, the last two of its objects, when another agent may do so too.

Only one agent is meant to run, but a node that answers late, or a process that was stopped for minutes,
can bring a second one to life. What settles it is the name of the Job: one of two creates is refused.
The Secret has to hold the token of that Job, so nobody may replace another agent's Secret in a hurry:

- An agent keeps its token for further tries, so it has no need to replace a Secret of its own.
- A Secret without a Job, of a token nobody knows, is left alone until the claim is ``TAKEOVER`` old:
  who made the claim would have made the Job by then.
- A Job with another token than ours is the other agent's, unless the Secret in place is still ours.
- A Job that took long to make is wanted only if its attempt still waits for it.
"""

import hashlib
import secrets as random

from dask_flows import manifests, names
from dask_flows.agent.cache import Cache
from dask_flows.agent.memory import Memory
from dask_flows.agent.ownership import create_or_adopt
from dask_flows.agent.recorder import Recorder
from dask_flows.agent.timing import age, began
from dask_flows.deadline import Clock
from dask_flows.flowrun import CLAIMED, FlowRun
from dask_flows.kube.api import Api, Object, remove
from dask_flows.kube.errors import AlreadyExists, Conflict, NotFound
from dask_flows.kube.resources import JOBS, SECRETS
from dask_flows.plan import Plan

TAKEOVER = 5.0  # seconds after a claim until its Secret without a Job counts as left behind
LONG = 10.0  # seconds; a look at the run from before is too old then


class JobMaker:
    """Carry out the last steps of beginning an attempt."""

    def __init__(self, *, api: Api, cache: Cache, recorder: Recorder, clock: Clock) -> None:
        self._api = api
        self._cache = cache
        self._recorder = recorder
        self._clock = clock

    async def make(self, plan: Plan, whole: FlowRun, memory: Memory, looked: float) -> None:
        """Make Secret and Job, or take over what is there; ``looked`` is when ``whole`` was read.

        Raises Conflict if it has to be tried again, or the run has moved on.
        """
        found = None if memory.token else await self._make_secret(plan, whole, memory)
        if found is None:
            digest = hashlib.sha256(memory.token.encode()).hexdigest()
            body = manifests.job(plan, whole, digest)
            found = await create_or_adopt(self._api, JOBS, plan, body)
            if _digest(found) != digest:
                await self._settle(plan, found, memory)
        if self._clock.monotonic() - looked > LONG:
            await self._check_wanted(plan, whole, found, memory)
        memory.job_seen = True
        memory.refusal = None
        self._cache.jobs.assume(found)

    async def _make_secret(self, plan: Plan, whole: FlowRun, memory: Memory) -> Object | None:
        """Make the Secret; returns the Job instead if that is there already."""
        token = random.token_urlsafe(32)
        secret = manifests.secret(plan, token)
        try:
            made = await self._api.create(SECRETS, plan.namespace, secret)
        except AlreadyExists:
            if (job := await self._find_job(plan)) is not None:
                return job
            if age(began(whole), self._clock.now()) < TAKEOVER:
                raise Conflict(f"attempt {plan.base} may be begun by another agent") from None
            await remove(self._api, SECRETS, plan.namespace, plan.base)
            made = await self._api.create(SECRETS, plan.namespace, secret)
        memory.token, memory.secret_uid = token, str(made["metadata"]["uid"])
        return None

    async def _settle(self, plan: Plan, job: Object, memory: Memory) -> None:
        """Decide whose token holds, if the Job was made with another one than ours."""
        memory.token = ""
        uid = memory.secret_uid
        if not await remove(self._api, SECRETS, plan.namespace, plan.base, uid=uid):
            return  # another agent has put its own Secret there: all of it is in order
        # The Secret of this Job is gone: its pod could never prove who it is.
        await remove(self._api, JOBS, plan.namespace, plan.base, uid=job["metadata"]["uid"])
        raise Conflict(f"Job {plan.base} had lost its Secret and is made again")

    async def _check_wanted(self, plan: Plan, whole: FlowRun, job: Object, memory: Memory) -> None:
        try:
            now = await self._recorder.read(whole)
            wanted = now.attempt == plan.attempt and now.phase in CLAIMED
        except NotFound:
            wanted = False
        if wanted:
            return
        # Nobody would remove them any more. A Job that has had a pod stays for its log.
        if not job.get("status"):
            await remove(self._api, JOBS, plan.namespace, plan.base, uid=job["metadata"]["uid"])
        if memory.secret_uid:
            uid, memory.token, memory.secret_uid = memory.secret_uid, "", ""
            await remove(self._api, SECRETS, plan.namespace, plan.base, uid=uid)
        raise Conflict(f"attempt {plan.base} was over before its Job was made")

    async def _find_job(self, plan: Plan) -> Object | None:
        try:
            return await self._api.get(JOBS, plan.namespace, plan.base)
        except NotFound:
            return None


def _digest(job: Object) -> str:
    return str((job["metadata"].get("annotations") or {}).get(names.ANNOTATION_TOKEN) or "")

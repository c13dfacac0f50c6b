"""Make an attempt's Job and its Secret, the last two of its objects, when another agent may do so too.

Only one agent is meant to run, but a node that answers late, or a process that was stopped for minutes,
can bring a second one to life. What settles it is a name: one of two creates is refused.

- The Job first: whoever creates it begins the attempt. Its pod waits for a Secret whose name it gives.
- The Secret then, with the runner's inputs and a token. It is owned by the Job, so it goes with it.
- A token's hash is on the Job before the token is in the Secret. So a Job whose Secret was never made can
  be completed with another token, by anybody, and whichever Secret comes to be, its token is accepted.
  Hashes are only ever added; the other tokens were never seen outside of an agent.
- A Job that took long to make is wanted only if its attempt still waits for it.
"""

import hashlib
import secrets as random

from dask_flows import manifests, names
from dask_flows.agent.attempt import Attempt
from dask_flows.agent.cache import Cache
from dask_flows.agent.memory import Memory
from dask_flows.agent.ownership import create_or_adopt
from dask_flows.agent.recorder import Recorder
from dask_flows.agent.views import attempt_of, controller_of
from dask_flows.deadline import Clock
from dask_flows.flowrun import CLAIMED, FlowRun
from dask_flows.kube.api import Api, Object, remove
from dask_flows.kube.errors import AlreadyExists, Conflict, KubeError, NotFound
from dask_flows.kube.resources import JOBS, SECRETS
from dask_flows.plan import Plan

LONG = 10.0  # seconds; a look at the run from before is too old then


class Over(Conflict):
    """The attempt is over: what has just been made for it is nobody's."""


class JobMaker:
    """Carry out the last steps of beginning an attempt."""

    def __init__(self, *, api: Api, cache: Cache, recorder: Recorder, clock: Clock) -> None:
        self._api = api
        self._cache = cache
        self._recorder = recorder
        self._clock = clock

    async def make(self, plan: Plan, whole: FlowRun, memory: Memory, looked: float) -> None:
        """Make Job and Secret, or take over what is there; ``looked`` is when ``whole`` was read.

        Raises Conflict if it has to be tried again, or the run has moved on.
        """
        memory.token = memory.token or random.token_urlsafe(32)  # further tries need no other
        digest = digest_of(memory.token)
        job = await create_or_adopt(self._api, JOBS, plan, manifests.job(plan, whole, digest))
        memory.job_seen = True  # if it goes now, it is not made again
        if self._clock.monotonic() - looked > LONG:
            await self._check_wanted(plan, whole, job)
        if digest in _tokens(job):
            await self._hand_over(plan, whole, job, memory.token)
            self._made(job, memory)
        else:  # another agent's: its plan holds
            memory.token, memory.plan = "", None
            await self._complete(job, whole, memory)

    async def complete(self, whole: FlowRun, memory: Memory) -> None:
        """Make sure that a Job has its Secret: who made the Job may have ended before that.

        Raises Conflict if it has to be tried again, NotFound if the Job is gone.
        """
        attempt = Attempt.of(whole)
        job = await self._api.get(JOBS, attempt.namespace, attempt.base)
        if (controller_of(job), attempt_of(job)) != (attempt.uid, attempt.number):
            raise Conflict(f"Job {attempt.base} has been replaced")
        await self._complete(job, whole, memory)

    async def _complete(self, job: Object, whole: FlowRun, memory: Memory) -> None:
        memory.plan_sought = memory.plan is not None  # what the Job pins has not been read
        pinned = (job["metadata"].get("annotations") or {}).get(names.ANNOTATION_PLAN)
        if pinned is not None:  # else an agent made it that made the Secret first
            job = await self._completed(job, Plan.from_json(pinned), whole)
        self._made(job, memory)

    def _made(self, job: Object, memory: Memory) -> None:
        memory.has_inputs = True
        memory.refusal = None
        self._cache.jobs.assume(job)

    async def _completed(self, job: Object, plan: Plan, whole: FlowRun) -> Object:
        token = random.token_urlsafe(32)
        body = manifests.secret(plan, whole, job, token)
        name = str(body["metadata"]["name"])
        if not name.startswith(f"{plan.base}-"):  # nobody else says which Secrets we make
            raise Conflict(f"Job {plan.base} waits for Secret {name}, which is not its own")
        if await self._lacks_secret(plan, body):
            digest = digest_of(token)
            meta = {
                "resourceVersion": job["metadata"]["resourceVersion"],
                "annotations": {names.ANNOTATION_TOKEN: " ".join((*_tokens(job), digest))},
            }
            job = await self._api.patch(JOBS, plan.namespace, plan.base, {"metadata": meta})
            await self._hand_over(plan, whole, job, token)
        return job

    async def _lacks_secret(self, plan: Plan, body: Object) -> bool:
        """Ask without reading Secrets, which the agent has no right to."""
        try:
            await self._api.create(SECRETS, plan.namespace, body, dry_run=True)
        except AlreadyExists:
            return False
        return True

    async def _hand_over(self, plan: Plan, whole: FlowRun, job: Object, token: str) -> None:
        try:
            body = manifests.secret(plan, whole, job, token)
            await self._api.create(SECRETS, plan.namespace, body)
        except AlreadyExists:
            return  # by an answer that was lost, or by another agent: its token is on the Job, too

    async def _check_wanted(self, plan: Plan, whole: FlowRun, job: Object) -> None:
        try:
            now = await self._recorder.read(whole)
            wanted = now.attempt == plan.attempt and now.phase in CLAIMED
        except NotFound:
            wanted = False
        except KubeError as error:  # nobody may look again once the run is over
            raise Over(f"cannot tell whether attempt {plan.base} is over: {error}") from error
        if wanted:
            return
        # Nobody would remove it any more. A Job that has had a pod stays for its log.
        if not job.get("status"):
            await remove(self._api, JOBS, plan.namespace, plan.base, uid=job["metadata"]["uid"])
        raise Over(f"attempt {plan.base} was over before its Job was made")


def digest_of(token: str) -> str:
    """Return the hash by which a token is known: its SHA-256 in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def _tokens(job: Object) -> list[str]:
    """Return the hashes of the tokens that a Job's pod may have."""
    return str((job["metadata"].get("annotations") or {}).get(names.ANNOTATION_TOKEN) or "").split()

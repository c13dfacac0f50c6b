"""Claim a run and make its attempt: the write-ahead order that a crash cannot break.

1. The claim, in status: from here on every name is known.
2. The scheduler's Service, if the attempt has its own cluster: it gives the address.
3. The ConfigMap: it pins the plan. An attempt without its Job has not begun and may be planned anew.
4. The Secret and the cluster's pods.
5. The Job, last: if it exists, everything has been made.

A Secret without a Job is deleted and made again, because its token is known to nobody.
"""

import hashlib
import secrets as random

from dask_flows import manifests, names
from dask_flows.agent.attempt import Attempt
from dask_flows.agent.cache import Cache
from dask_flows.agent.engines.base import Engine
from dask_flows.agent.memory import Memory
from dask_flows.agent.ownership import create_or_adopt
from dask_flows.agent.pause import Pause
from dask_flows.agent.recorder import Recorder
from dask_flows.agent.status import claimed, held
from dask_flows.config import AgentConfig, mode_of
from dask_flows.deadline import Clock
from dask_flows.diagnose import Diagnosis, diagnose_refusal
from dask_flows.errors import UsageError
from dask_flows.flowrun import PENDING, STARTING, FlowRun
from dask_flows.kube.api import Api, Object, remove
from dask_flows.kube.errors import AlreadyExists, Conflict, Forbidden, NotFound
from dask_flows.kube.resources import CONFIG_MAPS, JOBS, PODS, SECRETS
from dask_flows.plan import Plan, ignored_settings, make_plan

PAUSED = (
    "an upgrade waits for the runs of the shared cluster: this one starts when the upgrade is over"
)


class Beginner:
    """Carry out the first steps of attempts."""

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
        self._pause = Pause(api, config, clock)

    def mode_of(self, run: FlowRun) -> str:
        """Return the mode a run gets; raises UsageError for one it must not ask for."""
        asked = run.spec.mode
        if asked in (None, self._config.mode):
            return self._config.mode
        mode_of(str(asked), "spec.mode")
        if not self._config.allow_mode_override:
            raise UsageError(
                f"spec.mode is {asked}, and this release runs everything {self._config.mode}",
                where=f"FlowRun {run.name}",
                do="leave spec.mode out, or install the chart with agent.allowModeOverride=true",
            )
        return str(asked)

    async def claim(self, run: FlowRun) -> float | None:
        """Begin attempt 1 in status; returns when to try again if claims are paused.

        Raises UsageError if the run does not fit the release.
        """
        mode = self.mode_of(run)
        make_plan(self._config, run, mode, 1)
        if mode == "static" and (seconds := await self._pause.seconds()) > 0:
            if run.status.get("message") != PAUSED:
                await self._recorder.write(run, held(PENDING, "Queued", PAUSED))
            return seconds
        now = self._clock.now()
        await self._recorder.write(run, claimed(run, mode, ignored_settings(run, mode), now))
        return None

    async def plan(self, attempt: Attempt) -> Plan | None:
        """Return the pinned plan of an attempt, None if it has not begun."""
        try:
            stored = await self._api.get(CONFIG_MAPS, attempt.namespace, attempt.base)
        except NotFound:
            return None
        return Plan.from_json(stored["data"][manifests.PINNED_FILE])

    async def begin(self, run: FlowRun, memory: Memory) -> None:
        """Make what is missing of an attempt, the Job last.

        Raises UsageError if the plan does not fit, KubeError for what the API server refuses.
        """
        whole = FlowRun.parse(await self._recorder.read_whole(run))
        if (whole.phase, whole.attempt) != (STARTING, run.attempt) or whole.status.get("startedBy"):
            raise Conflict(f"run {run.name} has moved on")
        plan = memory.plan or await self._pin(run, whole)
        memory.plan = plan
        if plan.mode == "ephemeral":
            await self._engine.create(plan)
        await self._make_job(plan, whole, memory)

    async def probe(self, run: FlowRun) -> Diagnosis | None:
        """Ask why the Job has no pod: would the API server admit it? None if it would."""
        job = await self._api.get(JOBS, run.namespace, Attempt.of(run).base)
        template = job["spec"]["template"]
        meta = {**template.get("metadata", {}), "generateName": f"{job['metadata']['name']}-"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
        try:
            await self._api.create(PODS, run.namespace, pod, dry_run=True)
        except Forbidden as error:
            where = f"runner pod of Job {job['metadata']['name']}"
            return diagnose_refusal(error.reason, error.found, where)
        return None

    async def _pin(self, run: FlowRun, whole: FlowRun) -> Plan:
        mode = self.mode_of(whole)
        if mode != run.status.get("mode"):  # the release was switched before the attempt began
            name = Attempt.of(run).base
            cluster = name if mode == "ephemeral" else None
            await self._recorder.write(run, {"mode": mode, "clusterName": cluster})
        plan = make_plan(self._config, whole, mode, run.attempt)
        if mode == "ephemeral":
            plan = await self._engine.prepare(plan)
        return await self._store(plan, manifests.config_map(plan, whole))

    async def _store(self, plan: Plan, body: Object) -> Plan:
        """Store the plan; returns the one that holds.

        A stored plan is believed only with its Job, which nobody but the agent may create: who may create
        ConfigMaps could otherwise put pod templates of his own into the agent's hands.
        """
        stored = await create_or_adopt(self._api, CONFIG_MAPS, plan, body)
        if stored.get("data") != body["data"] and await self._find_job(plan) is None:
            # What was made by another plan, the Service included, does not fit this one.
            attempt = Attempt(plan.namespace, plan.run, plan.uid, plan.attempt)
            if await self._engine.delete(attempt):
                uid = stored["metadata"]["uid"]
                await remove(self._api, CONFIG_MAPS, plan.namespace, plan.base, uid=uid)
            raise Conflict(f"attempt {plan.base} is planned anew")
        return Plan.from_json(stored["data"][manifests.PINNED_FILE])

    async def _make_job(self, plan: Plan, whole: FlowRun, memory: Memory) -> None:
        token = random.token_urlsafe(32)
        digest = hashlib.sha256(token.encode()).hexdigest()
        secret = manifests.secret(plan, token)
        found = None
        try:
            await self._api.create(SECRETS, plan.namespace, secret)
        except AlreadyExists:
            found = await self._find_job(plan)
            if found is None:
                await remove(self._api, SECRETS, plan.namespace, plan.base)
                await self._api.create(SECRETS, plan.namespace, secret)
        if found is None:
            job = manifests.job(plan, whole, digest)
            found = await create_or_adopt(self._api, JOBS, plan, job)
            await self._refuse_other_token(plan, found, digest)
        memory.job_seen = True
        memory.refusal = None
        self._cache.jobs.assume(found)

    async def _refuse_other_token(self, plan: Plan, job: Object, digest: str) -> None:
        if (job["metadata"].get("annotations") or {}).get(names.ANNOTATION_TOKEN) == digest:
            return
        # Somebody deleted the Secret of this Job: its pod could never prove who it is.
        await remove(self._api, JOBS, plan.namespace, plan.base, uid=job["metadata"]["uid"])
        raise Conflict(f"Job {plan.base} had lost its Secret and is made again")

    async def _find_job(self, plan: Plan) -> Object | None:
        try:
            return await self._api.get(JOBS, plan.namespace, plan.base)
        except NotFound:
            return None

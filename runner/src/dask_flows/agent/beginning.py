"""Claim a run and make its attempt: the write-ahead order that a crash cannot break.

1. The claim, in status: from here on every name is known.
2. The scheduler's Service, if the attempt has its own cluster: it gives the address. At the same time the
   NetworkPolicy, if there is to be one: no pod runs before it is there.
3. The ConfigMap, for the same: it pins the plan with the cluster's pods. An attempt without its Job has
   not begun and may be planned anew.
4. The cluster's pods.
5. The Job: it pins the plan of what follows. Once it exists, the attempt has begun.
6. The Secret that the Job's pod waits for, with the runner's inputs and token (see ``jobmaker``).
"""

from collections.abc import Callable

from dask_flows import manifests
from dask_flows.agent.attempt import Attempt
from dask_flows.agent.board import Board
from dask_flows.agent.cache import Cache
from dask_flows.agent.engines.base import Engine
from dask_flows.agent.jobmaker import LONG, JobMaker, Over
from dask_flows.agent.memory import Memory
from dask_flows.agent.ownership import create_or_adopt, remove_own
from dask_flows.agent.pause import Pause
from dask_flows.agent.recorder import Recorder
from dask_flows.agent.status import claimed, switched
from dask_flows.agent.turnstile import LOOK_AGAIN, Turnstile
from dask_flows.agent.views import JobView
from dask_flows.config import AgentConfig, mode_of
from dask_flows.deadline import Clock
from dask_flows.diagnose import Diagnosis, diagnose_refusal
from dask_flows.errors import UsageError
from dask_flows.flowrun import STARTING, FlowRun
from dask_flows.kube.api import Api, Object, remove
from dask_flows.kube.errors import Conflict, Forbidden, NotFound
from dask_flows.kube.resources import CONFIG_MAPS, JOBS, PODS
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
        turnstile: Turnstile,
        board: Board,
        config: AgentConfig,
        clock: Clock,
        left_over: Callable[[], None],
    ) -> None:
        self._api = api
        self._turnstile = turnstile
        self._board = board
        self._cache = cache
        self._recorder = recorder
        self._engine = engine
        self._config = config
        self._clock = clock
        self._left_over = left_over  # something may be there that no run needs
        self._pause = Pause(api, config, clock)
        self._jobs = JobMaker(api=api, cache=cache, recorder=recorder, clock=clock)

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

    async def claim(self, run: FlowRun, memory: Memory) -> float | None:
        """Begin the next attempt in status; returns when to try again if it has to wait.

        ``memory`` is the next attempt's.

        Raises UsageError if the run does not fit the release.
        """
        mode = self.mode_of(run)
        if not self._turnstile.waits(run.name):  # else it was found to fit when it came
            make_plan(self._config, run, mode, run.attempt + 1)
        admitted = self._turnstile.admit(run, mode)
        again = await self._enter(run, mode, memory) if admitted else LOOK_AGAIN
        if again is not None:
            self._board.note(run.name, at_once=again < LOOK_AGAIN)  # an upgrade may be short
        return again

    async def _enter(self, run: FlowRun, mode: str, memory: Memory) -> float | None:
        with self._turnstile.entering(run.name):
            if mode == "static" and (seconds := await self._pause.seconds()) > 0:
                self._turnstile.pause(seconds, PAUSED)
                return seconds
            now = self._clock.now()
            patch = claimed(run, mode, ignored_settings(run, mode), now)
            memory.claimed = self._clock.monotonic(), await self._recorder.write(run, patch)
            memory.plan_sought = True  # there is none of an earlier agent
        return None

    async def plan(self, run: FlowRun, job: JobView | None) -> Plan | None:
        """Return the pinned plan of an attempt that has begun, None if it is gone."""
        if job and job.plan and run.status.get("mode") != "ephemeral":
            return Plan.from_json(job.plan)
        attempt = Attempt.of(run)
        try:
            stored = await self._api.get(CONFIG_MAPS, attempt.namespace, attempt.base)
        except NotFound:
            return None
        return Plan.from_json(stored["data"][manifests.PINNED_FILE])

    async def begin(self, run: FlowRun, memory: Memory) -> None:
        """Make what is missing of an attempt, the Job and its Secret last.

        Raises UsageError if the plan does not fit, KubeError for what the API server refuses.
        """
        with self._turnstile.beginning(run.name):
            try:
                await self._begin(run, memory)
            except Over:
                self._left_over()
                raise

    async def _begin(self, run: FlowRun, memory: Memory) -> None:
        looked, whole = await self._look(run, memory)
        if (whole.phase, whole.attempt) != (STARTING, run.attempt) or whole.status.get("startedBy"):
            raise Over(f"run {run.name} has moved on")
        if not memory.token and self._cache.job_of(run.uid, run.attempt) is not None:
            await self._jobs.complete(whole, memory)
            return
        plan = memory.plan or await self._pin(run, whole)
        memory.plan = plan
        if plan.mode == "ephemeral":
            await self._engine.create(plan)
        await self._jobs.make(plan, whole, memory, looked)

    async def _look(self, run: FlowRun, memory: Memory) -> tuple[float, FlowRun]:
        """Return the run with its parameters and files, and when it was read."""
        claimed, memory.claimed = memory.claimed, None
        now = self._clock.monotonic()
        if claimed is not None and now - claimed[0] < LONG:
            return claimed[0], FlowRun.parse(claimed[1])
        return now, FlowRun.parse(await self._recorder.read_whole(run))

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
        mode, attempt = self.mode_of(whole), Attempt.of(run)
        if mode != run.status.get("mode"):  # the release was switched before the attempt began
            if run.status.get("mode") == "ephemeral":
                if not await self._engine.delete(attempt):  # nobody would look for it any more
                    raise Conflict(f"the cluster of attempt {attempt.base} is on its way out")
                await remove_own(self._api, CONFIG_MAPS, attempt, attempt.base)
            await self._recorder.write(run, switched(run, mode))
        plan = make_plan(self._config, whole, mode, run.attempt)
        if mode != "ephemeral":
            return plan
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

    async def _find_job(self, plan: Plan) -> Object | None:
        try:
            return await self._api.get(JOBS, plan.namespace, plan.base)
        except NotFound:
            return None

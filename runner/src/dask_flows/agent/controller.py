"""Bring every FlowRun one step further: look, decide, act; then look again.

``reconcile`` works on one run at a time and never lets a failure out: what fails is tried again with a
growing pause, and what the API server refuses is shown on the run it is about.
"""

import logging
from dataclasses import replace
from math import inf

from dask_flows.agent import status
from dask_flows.agent.acts import (
    Begin,
    Claim,
    Clean,
    End,
    Escalate,
    Flag,
    Hold,
    Probe,
    Progress,
    Report,
    Step,
    Stop,
    Wait,
)
from dask_flows.agent.attempt import Attempt
from dask_flows.agent.beginning import Beginner
from dask_flows.agent.cache import Cache
from dask_flows.agent.cleaning import Cleaner
from dask_flows.agent.engines.base import Engine
from dask_flows.agent.memory import Memories, Memory
from dask_flows.agent.observed import Observed
from dask_flows.agent.recorder import Recorder
from dask_flows.agent.refusals import Refusals
from dask_flows.agent.scaling import Goal, Growth
from dask_flows.agent.settling import Settling
from dask_flows.agent.state import decide, rests_on_absence
from dask_flows.agent.timing import left_to_run
from dask_flows.agent.verdict import Ending
from dask_flows.agent.views import JobView, RunView
from dask_flows.agent.witness import Witness
from dask_flows.agent.workqueue import LONGEST_PAUSE, WorkQueue
from dask_flows.config import AgentConfig
from dask_flows.deadline import Clock
from dask_flows.errors import UsageError
from dask_flows.flowrun import CLAIMED, FAILED, FlowRun
from dask_flows.kube.errors import Conflict, Forbidden, Invalid, KubeError, NotFound

log = logging.getLogger("dask_flows.agent")

OUTAGE_PAUSE = 10.0  # seconds; nobody tells when the API server answers again
RACE_PAUSE = 0.2  # seconds until the copy that won a race has arrived
# Where hundreds of Jobs wait for their pods, it is the controller manager that is behind: asking for each
# of them why would only keep it there.
PROBE_PAUSE, PROBE_LATER = 1.0, 3.0


class Controller:
    """Reconcile FlowRuns, one by one."""

    def __init__(
        self,
        *,
        cache: Cache,
        memories: Memories,
        queue: WorkQueue,
        recorder: Recorder,
        settling: Settling,
        beginner: Beginner,
        cleaner: Cleaner,
        witness: Witness,
        engine: Engine,
        config: AgentConfig,
        clock: Clock,
    ) -> None:
        self._cache = cache
        self._memories = memories
        self._queue = queue
        self._recorder = recorder
        self._settling = settling
        self._beginner = beginner
        self._cleaner = cleaner
        self._witness = witness
        self._engine = engine
        self._config = config
        self._clock = clock
        self._refusals = Refusals(recorder, clock)
        self._next_probe = float("-inf")

    async def reconcile(self, name: str) -> None:
        """Do the next step of one run; asks the queue to come back when there is a next time."""
        try:
            again = await self._step(name)
        except (Conflict, NotFound) as error:
            # Somebody else was faster; the newest copy is on its way, or the run is gone.
            again = max(RACE_PAUSE, self._queue.failed(name, error, OUTAGE_PAUSE))
        except KubeError as error:
            longest = LONGEST_PAUSE if error.is_refusal else OUTAGE_PAUSE
            again = max(error.retry_after or 0.0, self._queue.failed(name, error, longest))
            log.warning("step failed run=%s again=%.1fs error=%s", name, again, error)
        except Exception as error:  # a mistake of ours on one run must not stop the others
            again = self._queue.failed(name, error)
            log.exception("step failed run=%s again=%.1fs", name, again)
        else:
            self._queue.succeeded(name)
        if again is not None:
            self._queue.add_after(name, again)

    async def _step(self, name: str) -> float | None:
        view = self._cache.runs.get(name)
        if view is None or view.deleting:
            return None  # what belongs to a deleted run goes with it
        memory, seen = self._memories.of(Attempt.of(view.run)), Observed(view.run)
        try:
            seen = await self.observe(view, memory)
            step = decide(seen, self._clock.now())
            if rests_on_absence(step, seen):
                job = await self._witness.look(Attempt.of(view.run))
                seen = replace(await self.observe(view, memory), job=job)
                step = decide(seen, self._clock.now())
            return await self._perform(step, seen, memory)
        except Forbidden as error:
            await self._refusals.show(seen, memory, error)
            raise

    async def observe(self, view: RunView, memory: Memory) -> Observed:
        """Put together what is known of a run."""
        run = view.run
        await self._recall(run, memory)
        job = self._job(run)
        pods = self._cache.pods_of(run.uid, run.attempt)
        runners = tuple(pod for pod in pods if pod.is_runner)
        memory.job_seen = memory.job_seen or job is not None
        uids = {pod.uid for pod in runners}
        if uids - memory.runners_seen:
            memory.refusal = None  # it was about making this pod
        memory.runners_seen |= uids
        started = str(run.status.get("startedBy") or "")
        seen = memory.runners_seen
        return Observed(
            run=run,
            invalid=view.invalid,
            job=job,
            runners=runners,
            dask=tuple(pod for pod in pods if pod.component in ("scheduler", "worker")),
            plan=memory.plan,
            start_deadline=self._start_deadline(run, memory),
            default_deadline=self._config.runs_of(run.spec.profile).deadline,
            job_seen=memory.job_seen,
            has_inputs=memory.has_inputs,
            runner_seen=started in seen if started else bool(seen),
            told=self._cache.warnings.about(Attempt.of(run).base),
            refusal=memory.refusal,
            probed_at=memory.probed_at,
            beat=memory.beat,
            workers_written=memory.workers_written,
        )

    async def _recall(self, run: FlowRun, memory: Memory) -> None:
        """Read the plan of an attempt that an earlier agent has begun."""
        if run.phase not in CLAIMED or memory.plan is not None or memory.plan_sought:
            return
        # Only our Job or a start proves that the plan is ours: anybody may store a ConfigMap of its name.
        if self._job(run) is None and not run.status.get("startedBy"):
            return
        memory.plan = await self._beginner.plan(run, self._job(run))
        memory.plan_sought = True

    def _job(self, run: FlowRun) -> JobView | None:
        return self._cache.job_of(run.uid, run.attempt)

    async def _perform(self, step: Step, seen: Observed, memory: Memory) -> float | None:
        run = seen.run
        patch = self._patch(step, run, memory)
        if patch is not None:
            await self._recorder.write(run, patch)
            return None
        match step:
            case End(ending):
                await self._settling.end(run, ending, seen.deadline)
                return None
            case Claim() | Begin():
                return await self._advance(step, seen, memory)
            case Probe():
                return await self._probe(run, memory)
            case Escalate():
                log.info("escalate run=%s attempt=%d", run.name, run.attempt)
                await self._cleaner.escalate(seen)
                return RACE_PAUSE
        return await self._idle(step, seen, memory)

    async def _probe(self, run: FlowRun, memory: Memory) -> float:
        if self._clock.monotonic() < self._next_probe:
            return PROBE_LATER
        self._next_probe = self._clock.monotonic() + PROBE_PAUSE
        memory.probed_at = self._clock.now().timestamp()
        found = await self._beginner.probe(run)
        if found is not None or not memory.stunted:
            memory.refusal = found
        return 0.0

    async def _idle(self, step: Step, seen: Observed, memory: Memory) -> float | None:
        match step:
            case Clean():
                return await self._clean(seen)
            case Wait(seconds):
                growth = await self._rest(seen, memory, seconds)
                if growth.granted and await self._refusals.take_back(seen, memory):
                    return 0.0
                return growth.again
        raise AssertionError(f"nobody carries out {step}")

    def _patch(self, step: Step, run: FlowRun, memory: Memory) -> status.Patch | None:
        """Return what a step writes, if writing is all it does."""
        now = self._clock.now()
        match step:
            case Hold(phase, reason, message):
                return status.held(phase, reason, message)
            case Report(diagnosis):
                return status.reported(diagnosis)
            case Progress(running, workers):
                memory.workers_written = now.timestamp()
                return status.progressed(run, running, workers, now)
            case Stop(reason, message):
                return status.stopping(run, reason, message, now)
            case Flag(found):
                return status.unreachable(run, found, now)
        return None

    async def _advance(self, step: Claim | Begin, seen: Observed, memory: Memory) -> float | None:
        """Claim or begin an attempt; what does not fit ends the run with the reason."""
        run = seen.run
        try:
            if isinstance(step, Claim):
                return await self._claim(seen)
            await self._beginner.begin(run, memory)
        except UsageError as error:
            ending = Ending(FAILED, error.reason, str(error))
        except Invalid as error:
            message = f"Kubernetes refuses an object of this run: {error}"
            ending = Ending(FAILED, error.reason, message)
        else:
            # What is made wakes us; a Job that was there and has all it needs does not.
            return None if seen.job is None else 0.0
        await self._settling.end(run, ending, seen.deadline)
        return None

    async def _claim(self, seen: Observed) -> float | None:
        run = seen.run
        following = replace(Attempt.of(run), number=run.attempt + 1)
        again = await self._beginner.claim(run, self._memories.of(following))
        # The deadline of a run between two attempts passes while it waits for a place.
        left = left_to_run(run, seen.deadline, self._clock.now()) if run.between else inf
        return None if again is None else min(again, max(0.1, left))

    async def _rest(self, seen: Observed, memory: Memory, seconds: float | None) -> Growth:
        run = seen.run
        if run.terminal:
            self._memories.forget(run.uid)
            return Growth()
        plan = memory.plan
        if plan is None or plan.mode != "ephemeral" or seen.stopping or not seen.begun:
            return Growth(seconds)
        goal = memory.goal or self._goal(memory, seen)
        try:
            growth = await self._engine.scale(plan, goal)
        except KubeError as error:
            memory.stunted = memory.stunted or isinstance(error, Forbidden)
            if seconds is not None:  # deadlines do not wait for that
                self._queue.add_after(run.name, seconds)
            raise
        granted = growth.granted and not goal.guessed
        memory.stunted = memory.stunted and not granted
        soonest = min((t for t in (seconds, growth.again) if t is not None), default=None)
        return Growth(soonest, granted)

    def _goal(self, memory: Memory, seen: Observed) -> Goal:
        assert memory.plan is not None
        low, high = memory.plan.minimum, memory.plan.maximum
        alive = sum(not pod.ended and not pod.deleting for pod in seen.workers)
        # After a restart nobody knows the goal: what is there is as good a guess as any.
        guessed = low < high and not seen.starting  # a flow begins with the least
        memory.goal = Goal(low, high, min(max(alive, low), high), guessed=guessed)
        return memory.goal

    async def _clean(self, seen: Observed) -> float | None:
        again = await self._cleaner.clean(seen)
        if again is None:
            self._memories.forget(seen.run.uid)
        return again

    def _start_deadline(self, run: FlowRun, memory: Memory) -> int:
        if memory.plan is not None:
            return memory.plan.start_deadline
        asked = run.spec.start_deadline
        return self._config.runs_of(run.spec.profile).start_deadline if asked is None else asked

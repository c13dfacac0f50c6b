"""The agent's side of the attempt channel: what runners may say, and what they are answered.

- ``start`` is the fence: the pod's UID is in status, guarded by resourceVersion, before the answer. The
  same pod may ask again; any other pod, and any pod once the attempt is ending, is refused with 409.
- ``beat`` tells progress and is held until there is something to say: a stop or a new deadline.
- ``finish`` is answered once the outcome is in status; saying it again changes nothing.

The token of the attempt's Secret proves who speaks; its SHA-256 is an annotation of the Job, so an agent
that has just started can check it without reading Secrets.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from dask_flows.agent import status
from dask_flows.agent.attempt import Attempt
from dask_flows.agent.cache import Cache
from dask_flows.agent.conditions import CLEANED_UP, condition
from dask_flows.agent.controller import Controller
from dask_flows.agent.fence import finish_refusal, is_over, over, start_refusal, wish_to_stop
from dask_flows.agent.jobmaker import digest_of
from dask_flows.agent.memory import Memories, Memory
from dask_flows.agent.observed import Beat, Observed
from dask_flows.agent.recorder import Recorder
from dask_flows.agent.scaling import Goal
from dask_flows.agent.settling import Settling
from dask_flows.agent.timing import left_for_attempt
from dask_flows.agent.verdict import INTERRUPTED, from_record, is_unexplained
from dask_flows.agent.views import RunView
from dask_flows.agent.witness import Witness
from dask_flows.agent.workqueue import WorkQueue
from dask_flows.deadline import Clock
from dask_flows.flowrun import FlowRun
from dask_flows.kube.errors import KubeError, NotFound
from dask_flows.outcome import CANCELLED, Outcome

# Seconds. A caller that does not say how long gets the usual time: without it a beat would spin.
USUAL_HOLD, LONGEST_HOLD = 10.0, 30.0  # proxies cut longer silences
# For an agent that has just started, beside a beat's hold; runners wait 10 s more than that for an answer.
STARTING_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """An HTTP status and a JSON body."""

    status: int = 200
    body: Mapping[str, Any] = field(default_factory=dict)


class Refused(Exception):
    """The caller gets this status and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.answer = Answer(code, {"message": message})


Call = Callable[[RunView, int, Mapping[str, Any]], Awaitable[Answer]]


class Channel:
    """Answer runners."""

    def __init__(
        self,
        *,
        cache: Cache,
        memories: Memories,
        queue: WorkQueue,
        recorder: Recorder,
        settling: Settling,
        controller: Controller,
        witness: Witness,
        clock: Clock,
    ) -> None:
        self._cache = cache
        self._memories = memories
        self._queue = queue
        self._recorder = recorder
        self._settling = settling
        self._controller = controller
        self._witness = witness
        self._clock = clock

    async def answer(
        self, verb: str, uid: str, attempt: int, token: str, body: Mapping[str, Any]
    ) -> Answer:
        """Answer one call; never raises for what a caller or the API server does."""
        hold = _hold(body.get("waitSeconds")) if verb == "beat" else 0.0
        beat = partial(self._beat, until=self._clock.monotonic() + hold)
        calls: dict[str, Call] = {"start": self._start, "beat": beat, "finish": self._finish}
        if (call := calls.get(verb)) is None:
            return Answer(404, {"message": f"there is no call {verb}"})
        try:
            view = await self._admit(uid, attempt, token, hold + STARTING_SECONDS)
            return await call(view, attempt, body)
        except Refused as refused:
            return refused.answer
        except NotFound:
            return Answer(404, {"message": "the FlowRun is gone"})
        except KubeError as error:
            return Answer(503, {"message": f"the Kubernetes API does not take the write: {error}"})

    async def _admit(self, uid: str, attempt: int, token: str, patience: float) -> RunView:
        # Held, not refused at once: a thousand runners that ask again and again would hold up the first lists.
        if not await self._cache.ready_within(patience):
            raise Refused(503, "the agent is starting")
        view = self._cache.run_by_uid(uid)
        if view is None:
            raise Refused(404, "there is no such FlowRun")
        if not 0 < attempt <= view.run.attempt + 1:  # the copy may be one attempt old
            raise Refused(404, "there is no such attempt")
        await self._check(token, view.run, attempt)
        return await self._anew(view) if attempt > view.run.attempt else view

    async def _anew(self, view: RunView) -> RunView:
        """Return the run as the API server has it: a refusal is final, so no old copy may cause it."""
        return replace(view, run=await self._recorder.read(view.run))

    async def _check(self, token: str, run: FlowRun, attempt: int) -> None:
        """Refuse a token that is not the attempt's; its hashes are remembered, so that they outlive the Job.

        The cache follows no Job of an attempt that is over, and another agent may have added a token: then the
        API server is asked, once.
        """
        current = attempt == run.attempt and condition(run, CLEANED_UP) is None
        memory = self._memories.of(Attempt.of(run)) if current else Memory()
        if not memory.token_sha256 and (job := self._cache.job_of(run.uid, attempt)) is not None:
            memory.token_sha256 = job.token_sha256
        if _is_one_of(token, memory.token_sha256):
            return
        job = await self._witness.job(replace(Attempt.of(run), number=attempt))
        if job is not None and job.owner_uid == run.uid:
            memory.token_sha256 = job.token_sha256
        if not memory.token_sha256:
            raise Refused(404, "there is no Job for this attempt")
        if not _is_one_of(token, memory.token_sha256):
            raise Refused(401, "the token is not this attempt's")

    async def _start(self, view: RunView, attempt: int, body: Mapping[str, Any]) -> Answer:
        pod = _text(body, "podUid")
        if start_refusal(view.run, attempt, pod):
            view = await self._anew(view)
        memory = self._memories.of(Attempt.of(view.run))
        seen = await self._controller.observe(view, memory)
        plan = seen.plan
        address, dashboard = (plan.address, plan.dashboard) if plan else (None, None)

        def change(run: FlowRun) -> status.Patch | None:
            if why := start_refusal(run, attempt, pod):
                raise Refused(409, why)
            by = run.status.get("startedBy")
            return None if by == pod else status.started(pod, address, dashboard)

        await self._recorder.update(view.run, change)
        # Most flows run in less than WORKERS_EVERY from now, and that is written with their workers.
        memory.workers_written = memory.workers_written or self._clock.now().timestamp()
        return Answer(200, {"deadlineSeconds": left_for_attempt(seen.run, seen.deadline)})

    async def _beat(
        self, view: RunView, attempt: int, body: Mapping[str, Any], *, until: float
    ) -> Answer:
        pod = _text(body, "podUid")
        if view.run.status.get("startedBy") != pod:
            view = await self._anew(view)
        run = view.run
        if is_over(run, attempt):
            return _beat_answer(over(run, attempt), None)
        if run.status.get("startedBy") != pod:
            raise Refused(409, "another pod runs this attempt")
        memory = self._memories.of(Attempt.of(run))
        seen = await self._controller.observe(view, memory)
        if self._note(memory, body):
            self._queue.add(run.name)
        first = _deadline(run, memory)
        while True:
            current = self._cache.run_by_uid(run.uid)
            stop = wish_to_stop(current.run, attempt) if current else {"reason": "Cancelled"}
            deadline = _deadline(current.run, memory) if current else None
            left = until - self._clock.monotonic()
            if stop or deadline != first or left <= 0:
                known = deadline if deadline is not None else seen.deadline
                return _beat_answer(stop, left_for_attempt(run, known))
            await memory.changed.wait(left)

    def _note(self, memory: Memory, body: Mapping[str, Any]) -> bool:
        """Remember what a beat says; return whether anything has to be done about it."""
        beat = Beat(str(body.get("phase") or ""), _number(body.get("workers")))
        changed, memory.beat = beat != memory.beat, beat
        scaling, plan = body.get("scaling"), memory.plan
        if not isinstance(scaling, Mapping) or plan is None or plan.mode != "ephemeral":
            return changed
        if memory.goal is None:
            memory.goal = Goal(plan.minimum, plan.maximum, plan.minimum)
        wanted, idle = _number(scaling.get("wanted")), scaling.get("idle")
        if wanted is None or not isinstance(idle, list):
            return changed
        return memory.goal.wish(wanted, [str(name) for name in idle]) or changed

    async def _finish(self, view: RunView, attempt: int, body: Mapping[str, Any]) -> Answer:
        run, outcome = view.run, Outcome.from_dict(dict(body))
        if outcome is None or (outcome.uid, outcome.attempt) != (run.uid, attempt):
            raise Refused(400, "this is no outcome of this attempt")
        if is_over(run, attempt):
            return Answer()

        def check(newest: FlowRun) -> None:
            if why := finish_refusal(newest, outcome):
                raise Refused(409, why)

        if finish_refusal(run, outcome):
            view = await self._anew(view)
            check(view.run)
        seen = await self._evidence(view, outcome)
        if not is_unexplained(seen, outcome):
            await self._settling.report(run, from_record(seen, outcome), seen.deadline, check)
        self._queue.add(run.name)
        return Answer()

    async def _evidence(self, view: RunView, outcome: Outcome) -> Observed:
        """Return what is seen of an attempt that reports its end.

        Who told an interrupted runner to stop may not have reached the cache: its pod and its Job are
        read anew.
        """
        attempt = Attempt.of(view.run)
        job, interrupted = None, outcome.exit_code in INTERRUPTED or outcome.outcome == CANCELLED
        if interrupted:
            job = await self._witness.look(attempt)
        seen = await self._controller.observe(view, self._memories.of(attempt))
        return replace(seen, job=job) if interrupted else seen


def _is_one_of(token: str, hashes: str) -> bool:
    given = digest_of(token)
    return any(hmac.compare_digest(given, one) for one in hashes.split())


def _beat_answer(stop: Mapping[str, Any] | None, deadline: int | None) -> Answer:
    return Answer(200, {"stop": stop, "deadlineSeconds": deadline})


def _deadline(run: FlowRun, memory: Memory) -> int | None:
    if run.spec.deadline is not None:
        return run.spec.deadline
    return memory.plan.deadline if memory.plan else None


def _number(value: object) -> int | None:
    """Return a whole number that is not negative; None for anything else."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return max(0, value) if whole and isinstance(value, int) else None


def _hold(value: object) -> float:
    """Return for how long a beat may be held."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return USUAL_HOLD
    return min(LONGEST_HOLD, float(value))


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise Refused(400, f"{key} is missing")
    return value

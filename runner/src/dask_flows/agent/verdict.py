"""How an attempt ended: the runner's record first, Kubernetes' evidence where there is none.

Rules, in order; a run that is cancelled before a pod had leave to start is Cancelled, whatever follows:
1. A record of success stands: a cancel that came too late changes nothing.
2. A recorded intent (``Stopping``) names the reason, whatever the pod's end looks like.
3. A record decides, sharpened by evidence it could not know (why the pod was told to stop, why no
   worker came, what killed the scheduler).
4. Without a record: evidence from the pod, then deletion, else the flow failed with its exit code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dask_flows.agent.conditions import NODE_UNREACHABLE, condition
from dask_flows.agent.observed import Observed
from dask_flows.agent.views import PodView
from dask_flows.diagnose import Diagnosis, diagnose_end, diagnose_start
from dask_flows.flowrun import CANCELLED, FAILED, SUCCEEDED
from dask_flows.outcome import Outcome
from dask_flows.told import diagnose_creation, diagnose_setup

AGAIN = "create a new FlowRun"  # what to do about a failure that nobody repeats
SUSPENDED = "Suspended"  # the intent to end an attempt whose run goes on later
INTERRUPTED = (130, 143)
KILLED = 137


@dataclass(frozen=True)
class Ending:
    """How an attempt ended, as status will say it."""

    phase: str
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    result: Any = None
    workers: int | None = None
    times: Mapping[str, str] = field(default_factory=dict)


def ending_of(seen: Observed) -> Ending | None:
    """Return how the attempt ended, judged by its pod and Job; None while it may go on."""
    pod = seen.runner
    if pod is not None:
        if not pod.ended and pod.termination is None:
            return None
        record = record_of(seen, pod)
        return from_record(seen, record) if record else _without_record(seen, pod)
    if not seen.begun:
        return None
    if seen.job is None:
        return _or_intent(seen, _job_deleted(seen))
    if seen.job.finished or seen.runner_seen:
        return _or_intent(seen, _vanished(seen))
    return None


def record_of(seen: Observed, pod: PodView) -> Outcome | None:
    """Read the runner's record from the pod; None for any other text."""
    text = str((pod.termination or {}).get("message") or "")
    record = Outcome.parse(text)
    mine = record and (record.uid, record.attempt) == (seen.run.uid, seen.run.attempt)
    return record if mine else None


def from_record(seen: Observed, record: Outcome) -> Ending:
    """Return the ending that a record and everything else seen amount to."""
    if cancelled_in_time(seen):
        return intended("Cancelled", "cancelled by spec.cancel")
    reason = record.reason or "FlowFailed"
    if reason == "DuplicateStart":  # says why that process ended, never why the attempt did
        reason = "FlowFailed"
    ending = Ending(
        phase=SUCCEEDED if record.outcome == SUCCEEDED else FAILED,
        reason="" if record.outcome == SUCCEEDED else reason,
        message=record.message,
        exit_code=record.exit_code,
        result=record.result,
        workers=record.workers,
        times=record.times,
    )
    if ending.phase == SUCCEEDED:
        return ending
    if seen.stopping:
        return _or_intent(seen, ending)
    return _sharpened(seen, record, ending)


def is_unexplained(seen: Observed, record: Outcome) -> bool:
    """Whether an interrupted runner's pod has yet to say who interrupted it.

    A kubelet that evicts a pod says so only when the pod has ended; the runner's record waits there, too.
    """
    pod, stopped = seen.runner, record.exit_code in INTERRUPTED or record.outcome == CANCELLED
    if not stopped or pod is None or pod.ended or pod.deleting or seen.stopping:
        return False
    if cancelled_in_time(seen) or seen.job is None or seen.job.deleting:
        return False
    return diagnose_end(pod.obj, "runner") is None


def cancelled_in_time(seen: Observed) -> bool:
    """Whether it was cancelled before any pod had leave to start, so that nothing has run."""
    return seen.run.spec.cancel and not seen.started_by


def intended(reason: str, message: str) -> Ending:
    """Return the ending of an attempt that somebody wanted to end."""
    return Ending(CANCELLED if reason == "Cancelled" else FAILED, reason, message)


def unrecordable(error: Exception) -> Ending:
    """Return the ending to record when the API server refuses the one that was found."""
    message = f"Kubernetes refuses to record how it ended: {error}"
    return Ending(FAILED, "FlowFailed", f"{message}: see kubectl logs for its pod")


def why_waiting(seen: Observed) -> Diagnosis | None:
    """Say what keeps the attempt from running: a refused object, its runner, its cluster."""
    found: list[Diagnosis] = []
    for pod in [seen.runner, seen.scheduler, *_missing_workers(seen)]:
        if pod is None or pod.deleting:
            continue
        one = why_not_started(seen, pod)
        if one is not None:
            found.append(one)
    final = next((one for one in found if one.final), None)
    if final is None and seen.refusal is not None:
        return seen.refusal
    if not found and not seen.runners and seen.job is not None:
        return diagnose_creation(seen.told, seen.job.name)
    return final or (found[0] if found else None)


def why_not_started(seen: Observed, pod: PodView) -> Diagnosis | None:
    """Say why a pod does not start, by its status or by what events tell."""
    by_status = diagnose_start(pod.obj, pod.component)
    return by_status or diagnose_setup(seen.told, pod.obj, pod.component)


def lost_scheduler(seen: Observed) -> Diagnosis | None:
    """Say what became of the attempt's own scheduler; None while it is there."""
    if seen.plan is None or seen.plan.mode != "ephemeral" or not seen.begun:
        return None
    pod = seen.scheduler
    do = AGAIN
    if pod is None:
        return Diagnosis("SchedulerLost", "the scheduler pod is gone", f"run {seen.run.name}", do)
    if not pod.ended and not pod.deleting:
        return None
    evidence = diagnose_end(pod.obj, "scheduler")
    code = (pod.termination or {}).get("exitCode")
    if evidence is not None:
        what, do = evidence.found, evidence.do or do
    else:
        what = "somebody deleted it" if pod.deleting else f"it ended with exit code {code}"
    return Diagnosis("SchedulerLost", f"the scheduler is lost: {what}", f"pod {pod.name}", do)


def _sharpened(seen: Observed, record: Outcome, ending: Ending) -> Ending:
    if record.exit_code in INTERRUPTED or record.outcome == CANCELLED:
        return _interrupted(seen, ending)
    if ending.reason == "ClusterTimeout":
        why = why_waiting(seen)
        return replace(ending, reason=why.reason, message=why.message) if why else ending
    if ending.reason == "SchedulerLost":
        lost = lost_scheduler(seen)
        return replace(ending, message=lost.message) if lost else ending
    return ending


def _missing_workers(seen: Observed) -> list[PodView]:
    waiting = [p for p in seen.workers if why_not_started(seen, p)]
    minimum = seen.plan.minimum if seen.plan else 0
    return waiting if len(seen.workers) - len(waiting) < minimum else []


def _or_intent(seen: Observed, ending: Ending) -> Ending:
    intent = seen.stopping
    if intent is None:
        return ending
    named = intended(str(intent["reason"]), str(intent.get("message") or ""))
    return replace(ending, phase=named.phase, reason=named.reason, message=named.message)


def _interrupted(seen: Observed, ending: Ending) -> Ending:
    pod = seen.runner
    evidence = diagnose_end(pod.obj, "runner") if pod else None
    if evidence:
        return replace(ending, reason=evidence.reason, message=evidence.message)
    named = _deleted(seen, pod)
    return replace(ending, phase=FAILED, reason=named.reason, message=named.message)


def _without_record(seen: Observed, pod: PodView) -> Ending:
    end = pod.termination or {}
    code = end.get("exitCode")
    if seen.stopping:
        return replace(_or_intent(seen, Ending(FAILED)), exit_code=code)
    evidence = diagnose_end(pod.obj, "runner")
    if evidence:
        return Ending(FAILED, evidence.reason, evidence.message, code)
    if pod.deleting:
        return replace(_deleted(seen, pod), exit_code=code)
    how = f"the runner ended with exit code {code} and reported no outcome"
    if code == KILLED:
        how = "the runner was killed (signal 9) before it could report"
    tail = str(end.get("message") or "").strip().splitlines()
    said = f", its last line: {tail[-1][:300]}" if tail else ""
    log = f"see kubectl logs {pod.name}"
    return Ending(FAILED, "FlowFailed", f"{how}{said} (pod {pod.name}): {log}", code)


def _deleted(seen: Observed, pod: PodView | None) -> Ending:
    if seen.job is None or seen.job.deleting:
        return _job_deleted(seen)
    return _runner_deleted(seen, pod)


def _job_deleted(seen: Observed) -> Ending:
    name = seen.run.status.get("jobName") or ""
    return Ending(FAILED, "JobDeleted", f"somebody deleted Job {name}: {AGAIN}")


def _vanished(seen: Observed) -> Ending:
    cut_off = condition(seen.run, NODE_UNREACHABLE)
    if cut_off is None:
        return _runner_deleted(seen, None)
    found = str(cut_off.get("message") or "").partition(":")[0]
    return Ending(FAILED, "NodeLost", f"the runner is gone with its node: {found}: {AGAIN}")


def _runner_deleted(seen: Observed, pod: PodView | None) -> Ending:
    name = pod.name if pod else f"of Job {seen.run.status.get('jobName') or ''}"
    what = f"the runner was stopped from outside, or its pod deleted (pod {name})"
    return Ending(FAILED, "RunnerDeleted", f"{what}: {AGAIN}")

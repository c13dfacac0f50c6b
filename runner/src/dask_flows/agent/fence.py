"""What a pod may say of an attempt: one pod starts it, and no other one ends it. Pure functions."""

from collections.abc import Mapping
from typing import Any

from dask_flows.agent.conditions import STOPPING, condition
from dask_flows.flowrun import CLAIMED, FlowRun
from dask_flows.outcome import SUCCEEDED, Outcome


def is_over(run: FlowRun, attempt: int) -> bool:
    """Whether nothing that a pod says of this attempt changes it any more."""
    return run.attempt != attempt or run.phase not in CLAIMED


def start_refusal(run: FlowRun, attempt: int, pod: str) -> str:
    """Say why a pod, by its UID, may not start; empty if it may."""
    by = run.status.get("startedBy")
    if is_over(run, attempt):
        return "the attempt is over"
    if by and by != pod:
        return f"pod {by} has already started this attempt"
    if not by and (run.spec.cancel or condition(run, STOPPING)):
        return "the run is being cancelled"
    return ""


def finish_refusal(run: FlowRun, record: Outcome) -> str:
    """Say why a record does not end an attempt; empty if it does.

    A runner that fails before it asks for leave says so, too; but nobody succeeds without having started.
    """
    by = run.status.get("startedBy")
    if by and by != record.pod_uid:
        return "another pod runs this attempt"
    if not by and record.outcome == SUCCEEDED:
        return "no pod has started this attempt"
    return ""


def wish_to_stop(run: FlowRun, attempt: int) -> Mapping[str, Any] | None:
    """Return what a running pod is told if it should end, as ``reason`` and ``message``."""
    if is_over(run, attempt):
        return over(run, attempt)
    intent = condition(run, STOPPING)
    return intent and {"reason": intent["reason"], "message": intent.get("message") or ""}


def over(run: FlowRun, attempt: int) -> Mapping[str, Any]:
    """Return how an attempt that is over has ended, as ``reason`` and ``message``."""
    ended = [a for a in run.status.get("attempts") or [] if a.get("attempt") == attempt]
    reason = run.status.get("reason") or run.phase
    if not run.terminal and ended:
        reason = ended[-1].get("reason") or reason
    return {"reason": reason, "message": f"the attempt is over: {reason}"}

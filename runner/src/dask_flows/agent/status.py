"""The status of a FlowRun, as patches: pure functions from what happened to what is written.

A patch is a JSON merge patch of ``status``: lists are replaced whole, None removes a field.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from dask_flows.agent.conditions import (
    BLOCKED,
    CLEANED_UP,
    FINISHED,
    SETTINGS_IGNORED,
    STOPPING,
    conditions_of,
    with_condition,
)
from dask_flows.agent.verdict import Ending
from dask_flows.deadline import timestamp
from dask_flows.diagnose import Diagnosis
from dask_flows.flowrun import RUNNING, STARTING, SUCCEEDED, FlowRun
from dask_flows.names import attempt_name

Patch = dict[str, Any]
KEPT_ATTEMPTS = 10
MESSAGE_LIMIT = 2000  # characters


def claimed(run: FlowRun, mode: str, ignored: Iterable[str], now: datetime) -> Patch:
    """Begin attempt 1: written before anything is made, so that every name is known from then on."""
    name = attempt_name(run.name, run.uid, 1)
    notes = _short("; ".join(ignored))
    conditions = conditions_of(run)
    if notes:
        conditions = with_condition(conditions, SETTINGS_IGNORED, "NoEffect", notes, now)
    return {
        "phase": STARTING,
        "reason": None,
        "message": None,
        "mode": mode,
        "attempt": 1,
        "jobName": name,
        "clusterName": name if mode == "ephemeral" else None,
        "startTime": timestamp(now),
        "attempts": [
            {"attempt": 1, "jobName": name, "mode": mode, "startTime": timestamp(now)},
        ],
        "conditions": conditions,
    }


def held(phase: str, reason: str, message: str) -> Patch:
    """Show why a run that nobody has claimed does not start."""
    return {"phase": phase, "reason": reason or None, "message": _short(message)}


def started(pod_uid: str, address: str | None, dashboard: str | None) -> Patch:
    """Give one pod leave to start: the fence against a second start."""
    return {"startedBy": pod_uid, "schedulerAddress": address, "dashboardAddress": dashboard}


def reported(found: Diagnosis | None) -> Patch:
    """Show what keeps an attempt from running."""
    if found is None:
        return {"reason": None, "message": None}
    return {"reason": found.reason, "message": _short(found.message)}


def progressed(run: FlowRun, running: bool, workers: int | None, now: datetime) -> Patch:  # noqa: FBT001
    """Show that the flow runs, and on how many workers."""
    patch: Patch = {} if workers is None else {"workers": workers}
    if running:
        moment = timestamp(now)
        patch |= {"phase": RUNNING, "reason": None, "message": None, "runningTime": moment}
        patch["attempts"] = _last_attempt(run, {"runningTime": moment})
    return patch


def stopping(run: FlowRun, reason: str, message: str, now: datetime) -> Patch:
    """Record the intent to end the attempt, and when the wish arose."""
    conditions = with_condition(conditions_of(run), STOPPING, reason, _short(message), now)
    return {"message": _short(f"stopping: {message}"), "conditions": conditions}


def finished(run: FlowRun, ending: Ending, now: datetime) -> Patch:
    """Record how the run ended."""
    moment = timestamp(now)
    running = run.status.get("runningTime") or ending.times.get("running")
    name = ending.reason or ending.phase
    conditions = [c for c in conditions_of(run) if c.get("type") != STOPPING]
    conditions = with_condition(conditions, FINISHED, name, _short(ending.message), now)
    if not run.attempt:
        conditions = with_condition(conditions, CLEANED_UP, "NothingMade", "it never began", now)
    patch: Patch = {
        "phase": ending.phase,
        "reason": ending.reason or None,
        "message": _short(ending.message) or None,
        "exitCode": ending.exit_code,
        "finishTime": moment,
        "conditions": conditions,
    }
    if running:
        patch["runningTime"] = running
    if ending.workers:
        patch["workers"] = ending.workers
    if ending.phase == SUCCEEDED and ending.result is not None:
        patch["result"] = ending.result
    times = {"runningTime": running, "finishTime": moment, "workers": ending.workers}
    attempts = _last_attempt(run, {"reason": name, **times})
    return {**patch, "attempts": attempts} if attempts else patch


def blocked(run: FlowRun, found: Diagnosis, now: datetime) -> Patch:
    """Show on a run that is over why its objects cannot be removed."""
    old = conditions_of(run)
    return {"conditions": with_condition(old, BLOCKED, found.reason, _short(found.message), now)}


def cleaned_up(run: FlowRun, now: datetime) -> Patch:
    """Record that nothing is left of the attempt but its Job."""
    text = "the attempt's objects are gone; its Job stays for the logs"
    conditions = [c for c in conditions_of(run) if c.get("type") != BLOCKED]
    return {"conditions": with_condition(conditions, CLEANED_UP, "AllGone", text, now)}


def _last_attempt(run: FlowRun, changes: Patch) -> list[dict[str, Any]]:
    attempts = [dict(a) for a in run.status.get("attempts") or []][-KEPT_ATTEMPTS:]
    if attempts:
        merged = {**attempts[-1], **changes}
        attempts[-1] = {key: value for key, value in merged.items() if value is not None}
    return attempts


def _short(message: str) -> str:
    return message if len(message) <= MESSAGE_LIMIT else f"{message[: MESSAGE_LIMIT - 1]}…"

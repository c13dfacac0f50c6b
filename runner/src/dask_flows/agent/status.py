"""The status of a FlowRun, as patches: pure functions from what happened to what is written.

A patch is a JSON merge patch of ``status``: lists are replaced whole, None removes a field.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from dask_flows.agent.conditions import (
    BLOCKED,
    CLEANED_UP,
    FINISHED,
    NODE_UNREACHABLE,
    SETTINGS_IGNORED,
    STOPPING,
    conditions_of,
    with_condition,
    without,
)
from dask_flows.agent.retrying import Retry
from dask_flows.agent.verdict import AGAIN, Ending
from dask_flows.deadline import timestamp
from dask_flows.diagnose import Diagnosis
from dask_flows.flowrun import PENDING, RUNNING, STARTING, SUCCEEDED, SUSPENDED, FlowRun
from dask_flows.names import attempt_name

Patch = dict[str, Any]
KEPT_ATTEMPTS = 10
MESSAGE_LIMIT, ATTEMPT_MESSAGE_LIMIT = 2000, 400  # characters


# What the claim of the next attempt forgets.
OF_ONE_ATTEMPT = (
    "startedBy",
    "schedulerAddress",
    "dashboardAddress",
    "workers",
    "runningTime",
    "exitCode",
    "retryTime",
)


def claimed(run: FlowRun, mode: str, ignored: Iterable[str], now: datetime) -> Patch:
    """Begin the next attempt: written before anything is made, so every name is known from then on."""
    number, moment = run.attempt + 1, timestamp(now)
    name = attempt_name(run.name, run.uid, number)
    notes = _short("; ".join(ignored))
    of_the_last = (CLEANED_UP, BLOCKED, NODE_UNREACHABLE, STOPPING, SETTINGS_IGNORED)
    conditions = without(conditions_of(run), *of_the_last)
    if notes:
        conditions = with_condition(conditions, SETTINGS_IGNORED, "NoEffect", notes, now)
    return {
        "phase": STARTING,
        "reason": None,
        "message": None,
        "mode": mode,
        "attempt": number,
        "jobName": name,
        "clusterName": name if mode == "ephemeral" else None,
        "startTime": run.status.get("startTime") or moment,
        **dict.fromkeys(OF_ONE_ATTEMPT),
        "attempts": [
            *(dict(a) for a in (run.status.get("attempts") or [])[1 - KEPT_ATTEMPTS :]),
            {"attempt": number, "jobName": name, "mode": mode, "startTime": moment},
        ],
        "conditions": conditions,
    }


def switched(run: FlowRun, mode: str) -> Patch:
    """Give an attempt that has not begun the mode that the release has by now."""
    cluster = attempt_name(run.name, run.uid, run.attempt) if mode == "ephemeral" else None
    return {"mode": mode, "clusterName": cluster, "attempts": _last_attempt(run, {"mode": mode})}


def held(phase: str, reason: str, message: str) -> Patch:
    """Show why a run that nobody has claimed does not start."""
    return {"phase": phase, "reason": reason or None, "message": _short(message) or None}


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


def retried(run: FlowRun, ending: Ending, retry: Retry, now: datetime) -> Patch:
    """Record how an attempt ended that is followed by another one."""
    # Rounded up: status has whole seconds, and no pause is shorter than was decided.
    moment = timestamp(retry.at + timedelta(microseconds=999_999))
    used = {"limit": retry.used.limit, "infrastructure": retry.used.infrastructure}
    why = ending.message.removesuffix(f": {AGAIN}")
    message = f"{_failed(run, why)}; attempt {run.attempt + 1} from {moment}"
    waiting = {"retryTime": moment, "retries": used}
    return _recorded(run, PENDING, ending, message, now) | {"reason": ending.reason} | waiting


def suspended(run: FlowRun, ending: Ending, now: datetime) -> Patch:
    """Record that an attempt was stopped because its run is suspended."""
    message = f"attempt {run.attempt} was stopped: set spec.suspend to false to start another one"
    return _recorded(run, SUSPENDED, ending, message, now) | {"reason": None}


def _recorded(run: FlowRun, phase: str, ending: Ending, message: str, now: datetime) -> Patch:
    conditions = without(conditions_of(run), STOPPING, NODE_UNREACHABLE)
    patch: Patch = {"phase": phase, "message": _short(message), "workers": None}
    return patch | {"attempts": _ended_attempt(run, ending, now), "conditions": conditions}


def _failed(run: FlowRun, why: str) -> str:
    return f"attempt {run.attempt} failed: {why[: MESSAGE_LIMIT - 100]}"


def finished(run: FlowRun, ending: Ending, now: datetime) -> Patch:
    """Record how the run ended."""
    moment = timestamp(now)
    running = run.status.get("runningTime") or ending.times.get("running")
    name = ending.reason or ending.phase
    conditions = without(conditions_of(run), STOPPING, NODE_UNREACHABLE)
    conditions = with_condition(conditions, FINISHED, name, _short(ending.message), now)
    if not run.attempt:
        conditions = with_condition(conditions, CLEANED_UP, "NothingMade", "it never began", now)
    patch: Patch = {
        "phase": ending.phase,
        "reason": ending.reason or None,
        "message": _short(ending.message) or None,
        "exitCode": ending.exit_code,
        "finishTime": moment,
        "retryTime": None,
        "conditions": conditions,
    }
    if running:
        patch["runningTime"] = running
    if ending.workers:
        patch["workers"] = ending.workers
    if ending.phase == SUCCEEDED and ending.result is not None:
        patch["result"] = ending.result
    # Between attempts the last one is recorded already: it ended in its own way.
    attempts = [] if run.between else _ended_attempt(run, ending, now)
    return {**patch, "attempts": attempts} if attempts else patch


def too_late(run: FlowRun, ending: Ending, deadline: int, now: datetime) -> Patch:
    """Record the run's end because no further attempt can begin before its deadline."""
    do = "raise spec.deadlineSeconds, or make the work smaller"
    why = ending.message.removesuffix(f": {AGAIN}")
    text = f"{_failed(run, why)}; another one cannot begin within the run's {deadline} s: {do}"
    last = replace(ending, reason="DeadlineExceeded", message=text)
    return finished(run, last, now) | {"attempts": _ended_attempt(run, ending, now)}


def unreachable(run: FlowRun, found: Diagnosis | None, now: datetime) -> Patch:
    """Show that a pod of the attempt may live where nobody can see it, or that none does any more."""
    conditions = without(conditions_of(run), NODE_UNREACHABLE)
    if found is not None:
        text = _short(found.message)
        old = conditions_of(run)
        conditions = with_condition(old, NODE_UNREACHABLE, found.reason, text, now)
    return {"conditions": conditions}


def blocked(run: FlowRun, found: Diagnosis, now: datetime) -> Patch:
    """Show on a run that is over why its objects cannot be removed."""
    old = conditions_of(run)
    return {"conditions": with_condition(old, BLOCKED, found.reason, _short(found.message), now)}


def cleaned_up(run: FlowRun, now: datetime, *, job: bool = True) -> Patch:
    """Record that nothing is left of the attempt but its Job, or nothing at all."""
    text = f"the attempt's objects are gone{'; its Job stays for the logs' if job else ''}"
    conditions = without(conditions_of(run), BLOCKED, NODE_UNREACHABLE)
    return {"conditions": with_condition(conditions, CLEANED_UP, "AllGone", text, now)}


def _ended_attempt(run: FlowRun, ending: Ending, now: datetime) -> list[dict[str, Any]]:
    message = ending.message[:ATTEMPT_MESSAGE_LIMIT] if ending.phase != SUCCEEDED else ""
    return _last_attempt(
        run,
        {
            "reason": ending.reason or ending.phase,
            "message": message or None,
            "exitCode": ending.exit_code,
            "runningTime": run.status.get("runningTime") or ending.times.get("running"),
            "finishTime": timestamp(now),
            "workers": ending.workers,
        },
    )


def _last_attempt(run: FlowRun, changes: Patch) -> list[dict[str, Any]]:
    attempts = [dict(a) for a in run.status.get("attempts") or []][-KEPT_ATTEMPTS:]
    if attempts:
        merged = {**attempts[-1], **changes}
        attempts[-1] = {key: value for key, value in merged.items() if value is not None}
    return attempts


def _short(message: str) -> str:
    return message if len(message) <= MESSAGE_LIMIT else f"{message[: MESSAGE_LIMIT - 1]}…"

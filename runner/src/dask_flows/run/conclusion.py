"""Show how a run ended: its result, who did the work, and the last line."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dask_flows.clusters import Tasks
from dask_flows.errors import UsageError
from dask_flows.outcome import CANCELLED, SUCCEEDED, check_result
from dask_flows.run.ending import Ending
from dask_flows.ui import Ui, shorten

if TYPE_CHECKING:
    from dask_flows.clusters.session import Session

LONGEST_MESSAGE, LONGEST_TRACEBACK = 2_000, 50_000  # characters


def with_result(ending: Ending) -> tuple[Ending, str]:
    """Return the ending with a result that a record can hold, and what is wrong with the flow's own.

    A flow that has done its work does not fail for what it returns.
    """
    if ending.result is None:
        return ending, ""
    try:
        return replace(ending, result=check_result(ending.result)), ""
    except UsageError as error:
        why = str(error)
    except BaseException as error:  # noqa: BLE001 - methods of the user's objects run here
        why = f"it cannot be written as JSON: {type(error).__name__}"
    shown = f"result {_shown(ending.result)}"
    return replace(ending, result=None), f"{shown}\nwarning: the result is not kept: {why}"


def _shown(result: object) -> str:
    try:
        return shorten(result)
    except BaseException:  # noqa: BLE001 - methods of the user's objects run here
        return f"of type {type(result).__name__}, which cannot be shown"


def show(ui: Ui, ending: Ending, complaint: str, seconds: float, session: "Session | None") -> None:
    """Write the end of the run; the last line says how it ended and how long it took."""
    if ending.outcome == SUCCEEDED:
        if complaint:
            ui.say(complaint, event="result")
        elif ending.result is not None:
            ui.say(
                f"result {json.dumps(ending.result, ensure_ascii=False)}",
                event="result",
                result=ending.result,
            )
        tasks = session.tasks() if session is not None else None
        if tasks is not None and tasks.workers:
            _show_work(ui, tasks)
        elif tasks is not None and not tasks.total and session is not None:
            _show_idleness(ui, session.made_by_flow())
        ui.say(f"succeeded in {seconds:.1f} s", event="succeeded", seconds=round(seconds, 2))
        return
    how = "cancelled" if ending.outcome == CANCELLED else "failed"
    message = cut(ending.message, LONGEST_MESSAGE)
    ui.fail(
        cut(ending.traceback, LONGEST_TRACEBACK),
        f"{how} after {seconds:.1f} s: {ending.reason}: {message}",
        reason=ending.reason,
        exit_code=ending.exit_code,
    )


def cut(text: str, longest: int) -> str:
    """Return the text, or its begin and end with a note of how much is left out."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters left out … {text[-half:]}"


def _show_work(ui: Ui, tasks: Tasks) -> None:
    counts = dict(sorted(tasks.workers.items()))
    each = ", ".join(f"{name} {count}" for name, count in counts.items())
    ui.say(f"{sum(counts.values())} tasks done: {each}", event="tasks", workers=counts)
    ui.say(f"work done by: {', '.join(counts)}", event="workers", names=list(counts))


def _show_idleness(ui: Ui, made: Sequence[str]) -> None:
    """Tell of a run's cluster that had nothing to do, because the flow has made one of its own."""
    if made:
        told = f"no task ran on this run's cluster: the flow made its own ({', '.join(made)})"
        ui.say(f"warning: {told}; call Client() without arguments", event="cluster")

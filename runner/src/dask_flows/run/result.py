"""What ``dask_flows.run`` returns."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dask_flows.clusters import Tasks
from dask_flows.errors import (
    DaskFlowsError,
    DeadlineExceeded,
    FlowFailed,
    SchedulerLost,
    WorkersLost,
)
from dask_flows.outcome import SUCCEEDED
from dask_flows.run.ending import Ending

_BY_REASON = {error.reason: error for error in (DeadlineExceeded, SchedulerLost, WorkersLost)}


@dataclass(frozen=True, kw_only=True, eq=False)
class RunOutcome:
    """How a run ended.

    ``outcome`` is Succeeded, Failed or Cancelled; ``reason`` and ``exit_code`` are those of the command
    line. ``result`` is what the flow returned, ``error`` what it raised, as the objects themselves.
    ``tasks`` is None if the scheduler does not count them, ``workers`` the largest number that was seen,
    ``report`` the folder with the report if one was asked for.
    """

    outcome: str
    reason: str = ""
    message: str = ""
    result: Any = None
    exit_code: int = 0
    error: BaseException | None = None
    tasks: Tasks | None = None
    workers: int = 0
    seconds: float = 0.0
    report: Path | None = None

    @property
    def ok(self) -> bool:
        """Whether the flow succeeded."""
        return self.outcome == SUCCEEDED

    def check(self) -> Any:
        """Return the result; raises what the flow raised, or the DaskFlowsError that ended the run."""
        if self.error is not None:
            raise self.error
        return self.result


def error_of(ending: Ending, raised: BaseException | None) -> BaseException | None:
    """Return the exception that explains an ending: the flow's own, or one of ours."""
    if ending.outcome == SUCCEEDED:
        return None
    ours = _BY_REASON.get(ending.reason)
    if ours is None and raised is not None and not isinstance(raised, SystemExit):
        return raised
    if isinstance(raised, DaskFlowsError) and raised.reason == ending.reason:
        return raised
    told = (ours or FlowFailed)(ending.message)
    told.__cause__ = raised
    return told

"""Why a run is stopped before its time."""

import signal
from dataclasses import dataclass

from dask_flows.errors import DeadlineExceeded, DuplicateStart, SchedulerLost, WorkersLost
from dask_flows.outcome import CANCELLED, FAILED

_CANCELLED_CODE = 128 + signal.SIGTERM
_CODES = {
    error.reason: error.exit_code
    for error in (DeadlineExceeded, DuplicateStart, SchedulerLost, WorkersLost)
}


class Stopped(KeyboardInterrupt):
    """Raised in the thread of the flow: asyncio and Dask clean up after a KeyboardInterrupt."""


@dataclass(frozen=True)
class Cause:
    """Why a run is stopped."""

    reason: str
    message: str
    exit_code: int

    @property
    def outcome(self) -> str:
        """How the run ends by it."""
        return CANCELLED if self.reason == "Cancelled" else FAILED


def cause_of(reason: str, message: str) -> Cause:
    """Return the cause for one of our reasons."""
    return Cause(reason, message, _CODES.get(reason, _CANCELLED_CODE))


def interruption(number: int) -> Cause:
    """Return the cause for a signal."""
    return Cause("Cancelled", f"interrupted by {signal.Signals(number).name}", 128 + number)

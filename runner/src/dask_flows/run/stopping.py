"""End a run before its time: signals, deadlines, the agent's word, a lost scheduler.

All of them take one way: a cause is noted, once, and :class:`Stopped` is raised in the main thread, so that
the flow's ``finally`` blocks run. Whatever the flow makes of that, the process is gone ``GRACE`` seconds
later; a second signal ends it at once. It never ends with exit code 0.
"""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, Self

from dask_flows.errors import DeadlineExceeded, DuplicateStart, SchedulerLost, WorkersLost
from dask_flows.outcome import CANCELLED, FAILED

GRACE = 5.0  # seconds from the first word to the end of the process
LAST_WORDS = 1.0  # of them for the report that a forced end still makes

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CANCELLED_CODE = 128 + signal.SIGTERM
_CODES = {
    error.reason: error.exit_code
    for error in (DeadlineExceeded, DuplicateStart, SchedulerLost, WorkersLost)
}


class Stopped(KeyboardInterrupt):
    """Raised in the main thread: asyncio and Dask clean up after a KeyboardInterrupt."""


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


class Stopper:
    """Holds the cause; a context that owns the process's signals in the main thread.

    ``last_words`` must report a cause within so many seconds; then ``exit_now`` ends the process.
    """

    def __init__(
        self,
        last_words: Callable[[Cause, float], None],
        *,
        exit_now: Callable[[int], Any] = os._exit,
        grace: float = GRACE,
    ) -> None:
        self._last_words = last_words
        self._exit_now = exit_now
        self._grace = grace
        self._lock = threading.RLock()  # a handler may interrupt its holder
        self._settled = False
        self._ours = False  # the next signal is the one that ``stop`` sends
        self._heard = 0
        self._before: dict[int, Any] = {}
        self._timer: threading.Timer | None = None
        self.cause: Cause | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self.settle()
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stop(self, cause: Cause) -> None:
        """Stop the run, from any thread; the first cause counts, and none after the end."""
        with self._lock:
            self._ours = self._note(cause)
        if self._ours:
            # By the signal itself, so that a flow that handles SIGTERM hears it as in any pod.
            os.kill(os.getpid(), signal.SIGTERM)

    def settle(self) -> Cause | None:
        """Say that the outcome is decided; returns the cause if one came first."""
        with self._lock:
            self._settled = True
            return self.cause

    def _note(self, cause: Cause) -> bool:
        with self._lock:
            if self._settled or self.cause is not None:
                return False
            self.cause = cause
        self._timer = threading.Timer(max(0.0, self._grace - LAST_WORDS), self._force, [cause])
        self._timer.daemon = True
        self._timer.start()
        return True

    def _force(self, cause: Cause, seconds: float = LAST_WORDS) -> None:
        try:
            self._last_words(cause, seconds)
        finally:
            self._exit_now(cause.exit_code)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._ours:
            self._ours = False
            raise Stopped
        self._heard += 1
        if self._settled:
            self._exit_now(128 + number)
        elif self.cause is None:
            name = signal.Signals(number).name
            self._note(Cause("Cancelled", f"interrupted by {name}", 128 + number))
            raise Stopped
        elif self._heard > 1:
            self._force(self.cause, 0.0)

"""Time, in the one place that reads a clock.

Everything else takes a :class:`Clock` or a :class:`Deadline`, so tests run in virtual time.
"""

import time
from datetime import UTC, datetime
from math import inf
from typing import Protocol

# Defaults of values.yaml, the command line and Python (seconds): how long a scheduler may be silent, and how
# long a run with unfinished tasks may be without any worker.
SCHEDULER_TIMEOUT, WORKERS_TIMEOUT = 60, 300
CONNECT_TIMEOUT = 60.0  # on the command line and in Python: scheduler and workers are ready by then


class Clock(Protocol):
    """Tell the time."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        ...


class SystemClock:
    """Tell the machine's time."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return datetime.now(UTC)


class Deadline:
    """A point in time after which waiting is over; ``None`` seconds never end."""

    def __init__(self, seconds: float | None, clock: Clock) -> None:
        self.seconds = seconds
        self._clock = clock
        self._start = clock.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the deadline was set."""
        return self._clock.monotonic() - self._start

    def remaining(self) -> float:
        """Return the seconds left, never less than 0; infinite without a limit."""
        if self.seconds is None:
            return inf
        return max(0.0, self.seconds - self.elapsed)

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining() <= 0


def timestamp(moment: datetime) -> str:
    """Write a time as Kubernetes does: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str) -> datetime:
    """Read a time that Kubernetes wrote; raises ValueError for anything else."""
    return datetime.fromisoformat(text)

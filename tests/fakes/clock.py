"""Time that follows the event loop, so that looptime moves it."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class LoopClock:
    """Tell the loop's time; the time of day starts at ``START``."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return START + timedelta(seconds=self.monotonic())


class FixedClock:
    """A clock that is set by hand."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def monotonic(self) -> float:
        """Return what was set."""
        return self.seconds

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return START + timedelta(seconds=self.seconds)

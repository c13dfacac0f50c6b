"""Notice when the event loop is blocked: from inside, and from a thread that can say where.

A probe that is answered by the loop says nothing while it is blocked. So a task beats once a second, and
a thread looks at the last beat; after a minute without one it logs what the loop's thread is doing.
"""

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Callable

from dask_flows.deadline import Clock

log = logging.getLogger("dask_flows.agent")

EVERY = 1.0
BLOCKED = 60.0  # seconds without a beat
LOOK = 5.0
INNERMOST = 12  # frames that are shown


class Heartbeat:
    """Beat in the event loop; be watched by a thread."""

    def __init__(self, clock: Clock, late: Callable[[float], None]) -> None:
        self._clock = clock
        self._late = late
        self._last = clock.monotonic()
        self._thread = 0
        self._told: float | None = None
        self._over = threading.Event()

    @property
    def alive(self) -> bool:
        """Whether the loop has come round lately."""
        return self._clock.monotonic() - self._last < BLOCKED

    async def run(self) -> None:
        """Beat for ever; ``late`` hears by how many seconds each beat was late."""
        self._thread = threading.get_ident()
        while True:
            self._last = self._clock.monotonic()
            await asyncio.sleep(EVERY)
            self._late(max(0.0, self._clock.monotonic() - self._last - EVERY))

    def watch(self) -> None:
        """Start the thread; it ends with ``close``, or with the process."""
        threading.Thread(target=self._watch, name="heartbeat", daemon=True).start()

    def close(self) -> None:
        """End the thread."""
        self._over.set()

    def look(self) -> str:
        """Return where the loop is stuck, once per standstill; empty while it is not."""
        last = self._last
        if self._clock.monotonic() - last < BLOCKED or not self._thread or self._told == last:
            return ""
        self._told = last
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001 - Python's only way to see a thread
        if frame is None:
            return "its thread is gone"
        return "".join(traceback.format_stack(frame, INNERMOST))

    def _watch(self) -> None:
        while not self._over.wait(LOOK):
            if where := self.look():
                log.error("the event loop is blocked seconds=%.0f where=%s", BLOCKED, where)

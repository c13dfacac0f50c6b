"""A work queue with the promises a controller needs.

- A key is in work at most once at a time; if it is added meanwhile, it comes again afterwards.
- Adding a key that waits already changes nothing.
- ``add_after`` adds it later; the earliest of several times counts.
- ``failures`` counts per key, so that pauses grow for the one that fails and for no other.
"""

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Awaitable, Callable

from dask_flows.deadline import Clock

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 60.0
CLOCK_TICK = 0.001  # shorter waits may end before the clock has moved, and would spin


class WorkQueue:
    """Keys that wait for a worker."""

    def __init__(self, clock: Clock) -> None:
        self.errors: Counter[str] = Counter()  # failures by kind of error
        self._clock = clock
        self._ready: deque[str] = deque()
        self._waiting: set[str] = set()
        self._working: set[str] = set()
        self._again: set[str] = set()
        self._later: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """Count the keys that wait now."""
        return len(self._ready)

    def add(self, key: str) -> None:
        """Let a worker see to this key as soon as one is free."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._wake.set()

    def add_after(self, key: str, seconds: float) -> None:
        """Add the key after a while; the earliest time asked for counts."""
        due = self._clock.monotonic() + seconds
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._later, (due, key))
            self._wake.set()

    def failed(self, key: str, error: Exception, longest: float = LONGEST_PAUSE) -> float:
        """Count a failure and return the pause it asks for, at most ``longest``, in seconds."""
        self.errors[type(error).__name__] += 1
        count = self._failures.get(key, 0)
        pause = min(longest, FIRST_PAUSE * float(2 ** min(count, 16)))
        # What was waited out with short pauses is no reason for a long one at the next, other failure.
        self._failures[key] = count + (pause < longest)
        return pause

    def succeeded(self, key: str) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    async def work(self, handle: Callable[[str], Awaitable[None]]) -> None:
        """Hand keys to ``handle`` for ever; start several of these for several workers."""
        while True:
            key = await self._next()
            try:
                await handle(key)
            finally:
                self._working.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)
            # Of thousands of runs that are over none waits for anything: others must come to their turn.
            await asyncio.sleep(0)

    async def _next(self) -> str:
        while True:
            pause = self._promote()
            if self._ready:
                key = self._ready.popleft()
                self._waiting.discard(key)
                self._working.add(key)
                return key
            self._wake.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _promote(self) -> float | None:
        now = self._clock.monotonic()
        while self._later:
            due, key = self._later[0]
            if self._due.get(key) != due:  # an earlier time has replaced this one
                heapq.heappop(self._later)
            elif due - now > CLOCK_TICK:
                return due - now
            else:
                heapq.heappop(self._later)
                del self._due[key]
                self.add(key)
        return None

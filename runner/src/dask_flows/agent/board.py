"""Tell runs that wait for a place which one they have.

A long queue moves with every run that ends, so a place is written once, when a run has waited for a
moment, and later only for those that come next, now and then: never for all of them.
"""

import asyncio
import logging
from collections import deque

from dask_flows.agent.cache import Cache
from dask_flows.agent.recorder import Recorder
from dask_flows.agent.status import held
from dask_flows.agent.turnstile import PLACE, Turnstile
from dask_flows.agent.workqueue import CLOCK_TICK
from dask_flows.deadline import Clock
from dask_flows.flowrun import PENDING
from dask_flows.kube.errors import Conflict, KubeError, NotFound

log = logging.getLogger("dask_flows.agent")

TELL_AFTER = 1.0  # a run that waits for less has nothing to be told
REFRESH_EVERY, REFRESH_FIRST = 30.0, 10
RETRY = 5.0


class Board:
    """Write phase Pending with reason Queued, one run after the other."""

    def __init__(
        self, cache: Cache, recorder: Recorder, turnstile: Turnstile, clock: Clock
    ) -> None:
        self._cache = cache
        self._recorder = recorder
        self._turnstile = turnstile
        self._clock = clock
        self._noted: set[str] = set()
        self._due: deque[tuple[float, str]] = deque()
        self._news = asyncio.Event()

    def note(self, name: str, *, at_once: bool = False) -> None:
        """Tell this run in a moment, if it still waits then and has not been told."""
        now = self._clock.monotonic()
        if at_once:
            self._due.appendleft((now, name))
        elif name not in self._noted:
            self._due.append((now + TELL_AFTER, name))
        self._noted.add(name)
        self._news.set()

    async def run(self) -> None:
        """Tell runs for ever."""
        refresh = self._clock.monotonic() + REFRESH_EVERY
        while True:
            now = self._clock.monotonic()
            if now >= refresh:
                refresh = now + REFRESH_EVERY
                for name in self._turnstile.first(REFRESH_FIRST):
                    await self._tell(name, moved=True)
            elif self._due and self._due[0][0] <= now:
                _, name = self._due.popleft()
                self._noted.discard(name)
                await self._tell(name)
            else:
                until = min(refresh, self._due[0][0] if self._due else refresh)
                await self._rest(max(CLOCK_TICK, until - now))

    async def _rest(self, seconds: float) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def _tell(self, name: str, *, moved: bool = False) -> None:
        view, text = self._cache.runs.get(name), self._turnstile.why(name)
        if view is None or text is None:
            return
        status = view.run.status
        shown = str(status.get("message") or "") if status.get("reason") == "Queued" else ""
        # A place that has only moved is old news; a pause that has begun or ended is not.
        if shown == text or (shown and not moved and _is_place(shown) == _is_place(text)):
            return
        try:
            await self._recorder.write(view.run, held(PENDING, "Queued", text))
        except (Conflict, NotFound):
            return  # it has changed: its newer copy asks for a place again
        except KubeError as error:
            log.warning("cannot tell its place run=%s error=%s", name, error)
            self.note(name)
            await asyncio.sleep(max(RETRY, error.retry_after or 0.0))
        except Exception:  # whatever it was, the others are told
            log.exception("cannot tell its place run=%s", name)


def _is_place(message: str) -> bool:
    return message.startswith(PLACE)

"""Hold something open in a thread of its own, so that opening and closing it cannot take for ever.

What hangs while it opens is left behind, and closes by itself if it ever gets that far.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Keeper(Generic[T]):
    """Runs ``work(keeper)``, which opens something, calls ``hold`` or awaits ``hold_async``, and closes it."""

    def __init__(self, work: "Callable[[Keeper[T]], None]", name: str) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._wake: Callable[[], object] | None = None
        self._wanted = threading.Event()  # somebody wants it closed
        self._settled = threading.Event()  # it is open, or will never be
        self._ended = threading.Event()
        self._value: T | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def open(self, seconds: float) -> T | None:
        """Return what is open; None if that takes longer. Raises what opening raised."""
        self._thread.start()
        if not self._settled.wait(min(seconds, threading.TIMEOUT_MAX)):
            return None
        if self.error is not None:
            raise self.error
        return self._value

    @property
    def is_open(self) -> bool:
        """Whether there is something to close."""
        return self._settled.is_set() and not self._ended.is_set()

    def close(self, seconds: float) -> bool:
        """Ask for the end and wait for it; returns whether it has come in time."""
        with self._lock:
            self._wanted.set()
            wake = self._wake
        if wake is not None:
            wake()
        return self._thread.ident is None or self._ended.wait(seconds)

    def hold(self, value: T) -> None:
        """Say that it is open, and wait until it is to be closed."""
        self._open_with(value)
        self._wanted.wait()

    async def hold_async(self, value: T) -> None:
        """Say that it is open, and wait while the thread's event loop goes on."""
        self._open_with(value)
        await self.closing()

    async def closing(self) -> None:
        """Wait until somebody wants the end."""
        loop, wanted = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            if self._wanted.is_set():
                return
            self._wake = lambda: _call(loop, wanted.set)
        await wanted.wait()

    def _open_with(self, value: T) -> None:
        self._value = value
        self._settled.set()

    def _run(self) -> None:
        try:
            self._work(self)
        except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits
            self.error = error
        finally:
            self._settled.set()
            self._ended.set()
            self._value = None


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # it is closed: then so is what was open
        loop.call_soon_threadsafe(function)

"""Lines of text, for a log or a pipe."""

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TextIO

from dask_flows.deadline import Clock
from dask_flows.ui.base import counts, printable, write_through


class Plain:
    """Lines of text; progress is a line every ``every`` seconds, a sign of life if nothing has changed."""

    pipes_commands = False

    def __init__(self, stream: TextIO, clock: Clock, *, every: float = 10.0) -> None:
        self._stream, self._clock, self._every = stream, clock, every
        self._lock = threading.RLock()
        self._since = self._shown = clock.monotonic()

    def say(self, text: str, **_: Any) -> None:
        """Write the line."""
        self._line(text)

    def hear(self, worker: str, text: str, stream: str) -> None:  # noqa: ARG002 - one stream here
        """Write the line behind the worker's name."""
        self._line(f"[{worker}] {text}")

    def progress(self, done: int, total: int, **facts: Any) -> None:
        """Write a line if the last one is old."""
        with self._lock:
            now = self._clock.monotonic()
            if now - self._shown < self._every:
                return
            self._shown = now
        self._line(f"running for {now - self._since:.0f} s{counts(done, total, **facts)}")

    def fail(self, traceback: str, text: str, **_: Any) -> None:
        """Write both."""
        self._line(f"{traceback}\n{text}" if traceback else text)

    def flush(self) -> None:
        """Flush the stream."""
        write_through(self._stream, "")

    def capturing(self) -> AbstractContextManager[None]:
        """Let the flow write as it likes."""
        return nullcontext()

    def live(self) -> AbstractContextManager[None]:
        """Count the time from here."""
        self._since = self._shown = self._clock.monotonic()
        return nullcontext()

    def output(self, text: str) -> None:
        """Write the line."""
        self._line(text)

    def _line(self, text: str) -> None:
        with self._lock:
            # In one call, so that lines of several threads do not mix.
            write_through(self._stream, f"{printable(text, self._stream)}\n")

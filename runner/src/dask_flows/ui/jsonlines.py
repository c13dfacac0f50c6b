"""JSON lines, for programs."""

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import inf
from typing import Any, TextIO, cast

from dask_flows.deadline import Clock, timestamp
from dask_flows.ui.base import write_through

DRAIN_SECONDS = 0.5


class JsonLines:
    """One JSON object per line, the flow's own output included."""

    pipes_commands = True

    def __init__(self, stream: TextIO, clock: Clock, *, every: float = 1.0) -> None:
        self._stream, self._clock, self._every = stream, clock, every
        self._lock = threading.RLock()
        self._since, self._life = clock.monotonic(), 10 * every
        self._shown: tuple[float, Any] = (-inf, None)

    def say(self, text: str, **facts: Any) -> None:
        """Write the line and its facts."""
        self._write({"event": "phase", "message": text, **facts})

    def hear(self, worker: str, text: str, stream: str) -> None:
        """Write a worker's line."""
        self._write({"event": "worker", "worker": worker, "stream": stream, "text": text})

    def progress(self, done: int, total: int, **facts: Any) -> None:
        """Write the counts when they have changed, at most once a second, else now and then."""
        at, before = self._shown
        now, told = self._clock.monotonic(), {"done": done, "total": total, **facts}
        if now - at >= (self._every if told != before else self._life):
            self._shown = (now, told)
            self._write({"event": "progress", "seconds": round(now - self._since, 2), **told})

    def fail(self, traceback: str, text: str, **facts: Any) -> None:
        """Write both."""
        self._write({"event": "failure", "message": text, "traceback": traceback, **facts})

    def flush(self) -> None:
        """Flush the stream."""
        write_through(self._stream, "")

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Turn what the flow, its libraries and its child processes write into lines of ours."""
        before = sys.stdout
        lines = _Lines(self.output, before)
        sys.stdout = cast("TextIO", lines)
        try:
            with self._descriptor() if _number(self._stream) == 1 else nullcontext():
                yield
                lines.end()
        finally:
            sys.stdout = before

    @contextmanager
    def _descriptor(self) -> Iterator[None]:
        """Put a pipe in the place of standard output itself: C code and children know nothing else."""
        ours = self._stream
        ours.flush()
        kept = os.dup(1)
        read, write = os.pipe()
        os.dup2(write, 1)
        os.close(write)
        reader = threading.Thread(target=self._read, args=(read,), daemon=True)
        with os.fdopen(kept, "w", encoding=ours.encoding, errors="backslashreplace") as instead:
            self._stream = instead
            reader.start()
            try:
                yield
            finally:
                os.dup2(kept, 1)
                reader.join(DRAIN_SECONDS)  # not for ever: a child may still hold the other end
                with self._lock:
                    self._stream.flush()
                    self._stream = ours

    def _read(self, read: int) -> None:
        with os.fdopen(read, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self.output(line.rstrip("\n"))

    def live(self) -> AbstractContextManager[None]:
        """Count the time from here."""
        self._since = self._clock.monotonic()
        return nullcontext()

    def output(self, text: str) -> None:
        """Write a line of the flow's own."""
        self._write({"event": "output", "text": text})

    def _write(self, event: dict[str, Any]) -> None:
        line = json.dumps({"time": timestamp(self._clock.now()), **event}, default=str)
        with self._lock:
            write_through(self._stream, f"{line}\n")


class _Lines:
    """A text stream that passes on whole lines."""

    def __init__(self, take: Any, behaves_like: TextIO) -> None:
        self._take, self._behaves_like = take, behaves_like
        self._lock = threading.RLock()
        self._begun = ""

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                self._take(line)
        return len(text)

    def end(self) -> None:
        with self._lock:
            if self._begun:
                self._take(self._begun)
                self._begun = ""

    def flush(self) -> None:
        """Do nothing: a line is written when it is whole."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behaves_like, name)


def _number(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None

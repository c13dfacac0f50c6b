"""What a run writes: lines for people, a progress bar on a terminal, or JSON lines for programs.

Everything goes to standard output, so that ``kubectl logs`` alone tells the story. A program reads
``--output json``: one object per line with ``time`` and ``event``, and nothing else.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, TextIO, cast

from dask_flows.deadline import Clock, timestamp

LONGEST_VALUE = 500  # characters of a result that is shown


class Ui(Protocol):
    """Where a run writes; safe to use from any thread."""

    def say(self, text: str, **facts: Any) -> None:
        """Write what is being done; ``event`` among the facts names it for programs."""
        ...

    def hear(self, worker: str, text: str, stream: str) -> None:
        """Write a worker's line, with its name."""
        ...

    def progress(self, done: int, total: int, **facts: Any) -> None:
        """Show how far the tasks are; called about twice a second."""
        ...

    def fail(self, traceback: str, text: str, **facts: Any) -> None:
        """Write a failure: its traceback first, then the line that names the reason."""
        ...

    def flush(self) -> None:
        """Write what is still held back."""
        ...

    def capturing(self) -> AbstractContextManager[None]:
        """Return the context in which the user's code may write to standard output."""
        ...

    def live(self) -> AbstractContextManager[None]:
        """Return the context in which progress is shown."""
        ...

    @property
    def pipes_commands(self) -> bool:
        """Whether a command's output must come through ``output``."""
        ...

    def output(self, text: str) -> None:
        """Write a line of the flow's own."""
        ...


class Plain:
    """Lines of text; progress is a line every ``every`` seconds, when it has changed."""

    pipes_commands = False

    def __init__(self, stream: TextIO, clock: Clock, *, every: float = 10.0) -> None:
        self._stream, self._clock, self._every = stream, clock, every
        self._lock = threading.RLock()
        self._shown: tuple[float, int, int] = (clock.monotonic(), 0, 0)

    def say(self, text: str, **_: Any) -> None:
        """Write the line."""
        self._line(text)

    def hear(self, worker: str, text: str, stream: str) -> None:  # noqa: ARG002 - one stream here
        """Write the line behind the worker's name."""
        self._line(f"[{worker}] {text}")

    def progress(self, done: int, total: int, **_: Any) -> None:
        """Write a line if the last one is old and something has changed."""
        with self._lock:
            at, *counts = self._shown
            now = self._clock.monotonic()
            if now - at < self._every or counts == [done, total]:
                return
            self._shown = (now, done, total)
        self._line(f"progress {done}/{total} tasks")

    def fail(self, traceback: str, text: str, **_: Any) -> None:
        """Write both."""
        self._line(f"{traceback}\n{text}" if traceback else text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def capturing(self) -> AbstractContextManager[None]:
        """Let the flow write as it likes."""
        return nullcontext()

    def live(self) -> AbstractContextManager[None]:
        """Do nothing: lines need no preparation."""
        return nullcontext()

    def output(self, text: str) -> None:
        """Write the line."""
        self._line(text)

    def _line(self, text: str) -> None:
        with self._lock:
            # In one call, so that lines of several threads do not mix.
            self._stream.write(f"{_printable(text, self._stream)}\n")
            self._stream.flush()


class Terminal(Plain):
    """Lines of text above a progress bar."""

    def __init__(self, stream: TextIO, clock: Clock, *, color: bool) -> None:
        super().__init__(stream, clock)
        self._color = color
        self._bar: Any = None
        self._task: Any = None

    def progress(self, done: int, total: int, **_: Any) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total or None)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the bar while the flow runs; what it prints scrolls above."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

        console = Console(file=self._stream, no_color=not self._color, highlight=False)
        columns = (BarColumn(), MofNCompleteColumn(), "tasks", TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            self._task, self._bar = bar.add_task("", total=None), bar
            try:
                yield
            finally:
                self._bar = None

    def _line(self, text: str) -> None:
        bar = self._bar
        if bar is None:
            super()._line(text)
        else:
            bar.console.print(text, markup=False, soft_wrap=True)


class JsonLines:
    """One JSON object per line, the flow's own output included."""

    pipes_commands = True

    def __init__(self, stream: TextIO, clock: Clock, *, every: float = 1.0) -> None:
        self._stream, self._clock, self._every = stream, clock, every
        self._lock = threading.RLock()
        self._shown: tuple[float, int, int] = (0.0, -1, -1)

    def say(self, text: str, **facts: Any) -> None:
        """Write the line and its facts."""
        self._write({"event": "phase", "message": text, **facts})

    def hear(self, worker: str, text: str, stream: str) -> None:
        """Write a worker's line."""
        self._write({"event": "worker", "worker": worker, "stream": stream, "text": text})

    def progress(self, done: int, total: int, **facts: Any) -> None:
        """Write the counts when they have changed, at most once a second."""
        at, *counts = self._shown
        now = self._clock.monotonic()
        if counts != [done, total] and now - at >= self._every:
            self._shown = (now, done, total)
            self._write({"event": "progress", "done": done, "total": total, **facts})

    def fail(self, traceback: str, text: str, **facts: Any) -> None:
        """Write both."""
        self._write({"event": "failure", "message": text, "traceback": traceback, **facts})

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Turn what the flow prints into lines of ours."""
        before = sys.stdout
        lines = _Lines(self.output, before)
        sys.stdout = cast("TextIO", lines)
        try:
            yield
        finally:
            lines.end()
            sys.stdout = before

    def live(self) -> AbstractContextManager[None]:
        """Do nothing: lines need no preparation."""
        return nullcontext()

    def output(self, text: str) -> None:
        """Write a line of the flow's own."""
        self._write({"event": "output", "text": text})

    def _write(self, event: dict[str, Any]) -> None:
        line = json.dumps({"time": timestamp(self._clock.now()), **event}, default=str)
        with self._lock:
            self._stream.write(f"{line}\n")
            self._stream.flush()


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


def make_ui(output: str, clock: Clock, *, color: bool, stream: TextIO | None = None) -> Ui:
    """Return what writes in this form: ``json``, or ``text`` as the stream allows."""
    stream = stream or sys.stdout
    if output == "json":
        return JsonLines(stream, clock)
    if stream.isatty():
        return Terminal(stream, clock, color=color)
    return Plain(stream, clock)


def shorten(value: Any) -> str:
    """Show a value in one line of reasonable length."""
    text = repr(value) if not isinstance(value, str) else value
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _printable(text: str, stream: TextIO) -> str:
    """Return what the stream's encoding can hold."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)

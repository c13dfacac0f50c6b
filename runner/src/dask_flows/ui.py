"""What a run shows: phases, progress, its workers' output, how it ended; as lines, on a terminal, as JSON.

Standard output is the log that ``kubectl logs`` reads. With ``--output json`` every line of it is a JSON
object with ``time``, ``event`` and the event's own fields.
"""

import json
import sys
import threading
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from dask_flows.deadline import Clock, timestamp

PLAIN_PROGRESS_SECONDS = 10.0


class Ui(Protocol):
    """Where a run's events go; safe to use from any thread."""

    def phase(self, text: str, **fields: Any) -> None:
        """Show a step of the run."""
        ...

    def hear(self, worker: str, text: str, stream: str = "stdout") -> None:
        """Show a line that a task has printed on a worker."""
        ...

    def progress(self, done: int, total: int, workers: int | None = None) -> None:
        """Show how far the run is; may be called often."""
        ...

    def traceback(self, text: str) -> None:
        """Show the user's traceback."""
        ...

    def end(self, text: str, **fields: Any) -> None:
        """Show how the run ended; ends a progress bar."""
        ...


class LineUi:
    """Plain lines: phases marked, progress every 10 s."""

    def __init__(self, out: TextIO, clock: Clock) -> None:
        self._out = out
        self._clock = clock
        self._lock = threading.Lock()
        self._shown = clock.monotonic()

    def phase(self, text: str, **_fields: Any) -> None:
        """Show a step of the run."""
        self._write(f"dask-flows: {text}")

    def hear(self, worker: str, text: str, stream: str = "stdout") -> None:
        """Show a line of a worker."""
        del stream
        self._write(f"[{worker}] {text}")

    def progress(self, done: int, total: int, workers: int | None = None) -> None:
        """Show progress if the last line is 10 s old."""
        now = self._clock.monotonic()
        if total and now - self._shown >= PLAIN_PROGRESS_SECONDS:
            self._shown = now
            self.phase(progress_text(done, total, workers))

    def traceback(self, text: str) -> None:
        """Show the user's traceback."""
        self._write(text.rstrip("\n"))

    def end(self, text: str, **fields: Any) -> None:
        """Show how the run ended."""
        self.phase(text, **fields)

    def _write(self, line: str) -> None:
        with self._lock:
            try:
                self._out.write(f"{line}\n")
            except UnicodeEncodeError:  # a terminal that is not UTF-8 still gets every line
                encoding = self._out.encoding or "ascii"
                self._out.write(f"{line}\n".encode(encoding, "backslashreplace").decode(encoding))
            self._out.flush()


class JsonUi:
    """One JSON object a line, and nothing else."""

    def __init__(self, out: TextIO, clock: Clock) -> None:
        self._out = out
        self._clock = clock
        self._lock = threading.Lock()
        self._last: tuple[int, int] | None = None

    def phase(self, text: str, **fields: Any) -> None:
        """Show a step of the run."""
        self._write("phase", {"message": text, **fields})

    def hear(self, worker: str, text: str, stream: str = "stdout") -> None:
        """Show a line of a worker."""
        self._write("output", {"worker": worker, "stream": stream, "line": text})

    def progress(self, done: int, total: int, workers: int | None = None) -> None:
        """Show progress when it has changed."""
        if (done, total) != self._last:
            self._last = (done, total)
            self._write("progress", {"done": done, "total": total, "workers": workers})

    def traceback(self, text: str) -> None:
        """Show the user's traceback."""
        self._write("traceback", {"text": text})

    def end(self, text: str, **fields: Any) -> None:
        """Show how the run ended."""
        self._write("end", {"message": text, **fields})

    def _write(self, event: str, fields: Mapping[str, Any]) -> None:
        record = {"time": timestamp(self._clock.now()), "event": event, **fields}
        with self._lock:
            self._out.write(json.dumps(record, default=str) + "\n")
            self._out.flush()


class TerminalUi(LineUi):
    """The same lines above a progress bar."""

    def __init__(self, out: TextIO, clock: Clock, *, color: bool) -> None:
        super().__init__(out, clock)
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        # Long worker names and paths must stay whole, so that they can be copied.
        self._console = Console(file=out, no_color=not color, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self._console, transient=True,
        )  # fmt: skip
        self._task: Any = None

    def progress(self, done: int, total: int, workers: int | None = None) -> None:
        """Move the bar."""
        if not total:
            return
        if self._task is None:
            self._task = self._bar.add_task("running", total=total)
            self._bar.start()
        text = "running" if workers is None else f"running on {workers} workers"
        self._bar.update(self._task, completed=done, total=total, description=text)

    def end(self, text: str, **fields: Any) -> None:
        """Remove the bar, show how the run ended."""
        self._bar.stop()
        super().end(text, **fields)

    def _write(self, line: str) -> None:
        self._console.print(line, markup=False)


def make_ui(output: str, clock: Clock, *, no_color: bool = False) -> Ui:
    """Return what shows events on standard output: ``text`` or ``json``."""
    if output == "json":
        return JsonUi(sys.stdout, clock)
    if sys.stdout.isatty():
        return TerminalUi(sys.stdout, clock, color=not no_color)
    return LineUi(sys.stdout, clock)


def progress_text(done: int, total: int, workers: int | None) -> str:
    """Write progress in one line."""
    on = "" if workers is None else f" on {workers} workers"
    return f"running: {done}/{total} tasks{on}"

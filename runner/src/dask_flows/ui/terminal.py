"""A progress bar, and lines of text above it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from dask_flows.deadline import Clock
from dask_flows.ui.base import counts, printable
from dask_flows.ui.plain import Plain

BAR = 16  # characters; so that counts and time fit into 40
PAINT = {"red": "\x1b[31m", "green": "\x1b[32m"}
PLAIN = "\x1b[0m"


class Terminal(Plain):
    """Lines of text above a progress bar."""

    def __init__(self, stream: TextIO, clock: Clock, *, color: bool) -> None:
        super().__init__(stream, clock)
        self._color = color
        self._bar: Any = None
        self._task: Any = None

    def progress(self, done: int, total: int, **facts: Any) -> None:
        """Move the bar."""
        bar = self._bar
        if bar is not None:
            said = counts(done, total, **facts).removeprefix(", ")
            bar.update(self._task, completed=done, total=total or None, description=said)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the bar while the flow runs; what it prints scrolls above."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.table import Column

        console = Console(file=self._stream, no_color=not self._color, highlight=False)
        said = TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="crop", ratio=1),
        )
        columns = (TimeElapsedColumn(), BarColumn(bar_width=BAR), said)
        with Progress(*columns, console=console, transient=True) as bar:
            self._task, self._bar = bar.add_task("", total=None), bar
            try:
                yield
            finally:
                self._bar = None

    def say(self, text: str, **facts: Any) -> None:
        """Write the line; success is green."""
        self._painted(text, "green" if facts.get("event") == "succeeded" else "")

    def fail(self, traceback: str, text: str, **_: Any) -> None:
        """Write both, the line in red."""
        if traceback:
            self._line(traceback)
        self._painted(text, "red")

    def _line(self, text: str) -> None:
        self._painted(text, "")

    def _painted(self, text: str, color: str) -> None:
        bar = self._bar
        if bar is not None:
            text = printable(text, self._stream)
            bar.console.print(text, markup=False, soft_wrap=True, style=color or None)
        elif color and self._color:
            super()._line(f"{PAINT[color]}{text}{PLAIN}")
        else:
            super()._line(text)

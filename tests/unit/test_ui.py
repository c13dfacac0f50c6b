"""Rules of what a run shows: every line arrives, in one piece, in the form that was asked for."""

import io
import json
from datetime import UTC, datetime

import pytest

from dask_flows.ui import JsonUi, LineUi, TerminalUi


class Ticks:
    """A clock that a test moves."""

    time = 0.0

    def monotonic(self) -> float:
        return self.time

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


def test_lines_name_the_worker_and_mark_our_own_words() -> None:
    """A flow's own output has no mark."""
    out = io.StringIO()
    ui = LineUi(out, Ticks())

    ui.phase("scheduler ready in 1.2 s")
    ui.hear("worker-0", "hello")
    ui.end("succeeded in 3 s")

    assert out.getvalue().splitlines() == [
        "dask-flows: scheduler ready in 1.2 s", "[worker-0] hello", "dask-flows: succeeded in 3 s",
    ]  # fmt: skip


def test_progress_is_a_line_every_ten_seconds() -> None:
    """Logs are not flooded."""
    out, clock = io.StringIO(), Ticks()
    ui = LineUi(out, clock)

    for second in range(25):
        clock.time = float(second)
        ui.progress(second, 25, 2)

    assert out.getvalue().splitlines() == [
        "dask-flows: running: 10/25 tasks on 2 workers",
        "dask-flows: running: 20/25 tasks on 2 workers",
    ]


def test_json_lines_are_json_and_nothing_else() -> None:
    """Another program reads them."""
    out = io.StringIO()
    ui = JsonUi(out, Ticks())

    ui.phase("workers 1/2", workers=1)
    ui.hear("w", 'quote " and\nnewline')
    ui.progress(1, 2)
    ui.progress(1, 2)
    ui.traceback("Traceback")
    ui.end("succeeded", result={"a": 1})

    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [r["event"] for r in records] == ["phase", "output", "progress", "traceback", "end"]
    assert records[-1]["result"] == {"a": 1}
    assert records[0]["time"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_is_not_utf_8_loses_no_line(encoding: str) -> None:
    """What it cannot show is written as an escape."""
    raw = io.BytesIO()
    ui = LineUi(io.TextIOWrapper(raw, encoding=encoding), Ticks())

    ui.hear("w", "snow ☃")

    assert raw.getvalue() == b"[w] snow \\u2603\n"


def test_a_terminal_shows_whole_lines_and_no_markup() -> None:
    """Names can be copied; brackets are text."""
    out = io.StringIO()
    ui = TerminalUi(out, Ticks(), color=False)

    ui.hear("worker", "[red]" + "x" * 300)

    assert out.getvalue() == f"[worker] [red]{'x' * 300}\n"

"""Rules of what a run writes."""

import io
import json
import re
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest

from dask_flows.ui import JsonLines, Plain, Terminal, make_ui, shorten


class Clock:
    """Says what it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


class Tty(io.StringIO):
    """Says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the objects of JSON lines."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_the_stream_decides_unless_json_is_asked_for() -> None:
    """No control characters reach a log."""
    clock = Clock()

    assert type(make_ui("text", clock, color=True, stream=io.StringIO())) is Plain
    assert type(make_ui("text", clock, color=True, stream=Tty())) is Terminal
    assert type(make_ui("text", clock, color=True, dumb=True, stream=Tty())) is Plain
    assert type(make_ui("json", clock, color=True, stream=Tty())) is JsonLines


def test_plain_lines_carry_the_workers_name() -> None:
    """That is all that is added."""
    stream = io.StringIO()
    ui = Plain(stream, Clock())

    ui.say("workers 1/2", workers=1)
    ui.hear("pod-0", "hello", "stdout")
    ui.fail("Traceback …", "failed: X")

    assert stream.getvalue() == "workers 1/2\n[pod-0] hello\nTraceback …\nfailed: X\n"


def test_plain_progress_is_a_line_every_ten_seconds() -> None:
    """A short run has none; a long one shows life although nothing changes or is known."""
    stream, clock = io.StringIO(), Clock()
    ui = Plain(stream, clock)
    clock.seconds = 100

    with ui.live():
        for clock.seconds, done in [(101, 1), (109, 5), (110, 6), (115, 7), (121, 8), (135, 8)]:
            ui.progress(done, 10, failed=int(done > 6), workers=3)
        clock.seconds = 145
        ui.progress(0, 0, failed=0, workers=None)

    assert stream.getvalue().splitlines() == [
        "running for 10 s, 6 of 10 tasks, 3 workers",
        "running for 21 s, 8 of 10 tasks, 1 failed, 3 workers",
        "running for 35 s, 8 of 10 tasks, 1 failed, 3 workers",
        "running for 45 s",
    ]


def test_json_lines_are_nothing_but_objects() -> None:
    """Also what the flow prints, line by line, the last without an end included."""
    stream = io.StringIO()
    ui = JsonLines(stream, Clock())

    ui.say("workers 1/2", workers=1)
    with ui.capturing():
        print("one\ntwo")  # noqa: T201 - what this is about
        sys.stdout.write("three")
    ui.hear("pod-0", "hello", "stderr")
    ui.fail("tb", "failed", reason="FlowFailed", exit_code=1)

    assert [e["event"] for e in events(stream)] == [
        "phase", "output", "output", "output", "worker", "failure",
    ]  # fmt: skip
    assert [e["text"] for e in events(stream) if e["event"] == "output"] == ["one", "two", "three"]
    assert events(stream)[0] == {
        "time": "2026-01-01T00:00:00Z",
        "event": "phase",
        "message": "workers 1/2",
        "workers": 1,
    }


def test_json_takes_any_fact() -> None:
    """A value that is no JSON is written as text."""
    stream = io.StringIO()

    JsonLines(stream, Clock()).say("x", path=io.StringIO)

    assert "StringIO" in events(stream)[0]["path"]


def test_json_progress_comes_with_each_change_but_not_faster_than_once_a_second() -> None:
    """Programs draw their own bars; without changes it is a sign of life."""
    stream, clock = io.StringIO(), Clock()
    ui = JsonLines(stream, clock)

    for clock.seconds, done in [(1, 1), (1.5, 2), (2, 3), (9, 3), (12, 3)]:
        ui.progress(done, 10)

    assert [(e["seconds"], e["done"]) for e in events(stream)] == [(1, 1), (2, 3), (12, 3)]


def test_a_narrow_encoding_does_not_break_the_line() -> None:
    """Some terminals know ASCII only."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")

    Plain(stream, Clock()).hear("pod-0", "größer \ud800", "stdout")

    assert raw.getvalue() == b"[pod-0] gr??er ?\n"


def test_a_terminal_shows_lines_above_its_bar() -> None:
    """Nothing is lost, brackets are no markup."""
    stream = Tty()
    ui = Terminal(stream, Clock(), color=False)

    with ui.live():
        ui.progress(1, 2)
        ui.hear("pod-0", "[bold]hello[/bold]", "stdout")
    ui.say("succeeded in 1.0 s")

    assert "[pod-0] [bold]hello[/bold]" in stream.getvalue()
    assert stream.getvalue().endswith("succeeded in 1.0 s\n")


def test_without_color_there_is_none() -> None:
    """NO_COLOR is a promise."""
    stream = Tty()
    ui = Terminal(stream, Clock(), color=False)

    with ui.live():
        ui.progress(1, 2)

    assert "\x1b[3" not in stream.getvalue()


@pytest.mark.parametrize("bar", [False, True])
@pytest.mark.parametrize(
    ("color", "red", "green"), [(True, "\x1b[31m", "\x1b[32m"), (False, "", "")]
)
def test_the_last_line_tells_its_outcome_by_color(
    bar: bool, color: bool, red: str, green: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal only, above a bar as well as alone; the rest stays as it is."""
    monkeypatch.setenv("TERM", "xterm")
    stream = Tty()
    ui = Terminal(stream, Clock(), color=color)
    end = "\x1b[0m" if color else ""
    with ui.live() if bar else nullcontext():
        ui.say("running", phase="running")
        ui.fail("Traceback …", "failed: [X]", reason="X")
        ui.say("succeeded", event="succeeded")

    shown = re.sub(r"\x1b\[[0-9;?]*[A-LN-Za-ln-z]", "", stream.getvalue())
    assert "running\n" in shown
    assert "Traceback …\n" in shown
    assert f"{red}failed: [X]{end}\n" in shown
    assert f"{green}succeeded{end}\n" in shown


def test_long_values_are_shortened_to_one_line() -> None:
    """The log is not the place for data."""
    assert shorten({"a": 1}) == "{'a': 1}"
    assert shorten("a\nb") == "a b"
    assert len(shorten("x" * 5000)) == 501

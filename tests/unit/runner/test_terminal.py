"""Rules of output, with real terminals and real descriptors: nothing wraps, nothing breaks, nothing leaks."""

import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dask_flows.run import Request

from .conftest import environment

DRAW = """
import sys
from dask_flows.deadline import SystemClock
from dask_flows.ui import make_ui
ui = make_ui("text", SystemClock(), color=sys.argv[1] == "color")
with ui.live():
    ui.progress(12, 400, failed=3, workers=5)
    ui.hear("pod-0", "gr\\u00f6\\u00dfer \\u2026 \\U0001f600", "stdout")
ui.say("succeeded in 1.0 s", event="succeeded")
"""
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def drawn(columns: int, *args: str, **variables: str) -> str:
    """Return what a program writes to a terminal of this width."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(ours, 4096):
                kept.append(data)
        except OSError:
            return  # Linux says so when the other end has gone

    reader = threading.Thread(target=read)
    env = environment(**{"TERM": "xterm-256color", **variables})
    for name in ("COLUMNS", "LINES"):
        env.pop(name, None)
    command = [sys.executable, "-c", DRAW, *args]
    with subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as popen:
        os.close(theirs)
        reader.start()
        assert popen.wait(30) == 0, b"".join(kept)
    reader.join(10)
    os.close(ours)
    return b"".join(kept).decode("utf-8", "replace")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_bar_fits_into_the_terminal(columns: int) -> None:
    """And leaves nothing behind: the cursor is there, the lines stand alone."""
    text = drawn(columns, "plain")

    bars = [line for line in re.split(r"[\r\n]+", CONTROL.sub("", text)) if "12 of 400" in line]
    assert bars
    assert all(len(line.rstrip()) <= columns for line in bars)
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")
    assert text.endswith("succeeded in 1.0 s\r\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_that_lacks_characters_breaks_nothing(encoding: str) -> None:
    """They are replaced, the bar is drawn with what there is."""
    text = drawn(80, "color", PYTHONIOENCODING=encoding)

    assert "succeeded in 1.0 s" in text
    assert "12 of 400 tasks" in text
    assert "[pod-0] gr" in text


def test_no_color_has_no_color() -> None:
    """A promise to those who cannot see them."""
    assert not re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", drawn(80, "plain"))


def test_success_is_green() -> None:
    """On a terminal, where it may be."""
    assert drawn(80, "color").endswith("\x1b[32msucceeded in 1.0 s\x1b[0m\r\n")


LOUD = """
import ctypes, os, subprocess, sys
def main():
    print("printed")
    os.write(1, b"written\\n")
    libc = ctypes.CDLL(None)
    libc.puts(b"put"); libc.fflush(None)
    subprocess.run([sys.executable, "-c", "print('of a child')"], check=True)
    print("unfinished", end="")
"""


def test_json_lines_hold_whatever_is_written(
    dask_flows: Callable[..., Any], tmp_path: Path, dask: Any
) -> None:
    """By C code and child processes, too: standard output has nothing but objects."""
    (tmp_path / "flow.py").write_text(LOUD)
    process = dask_flows("run", "flow.py:main", "--address", dask.address, "--output", "json")

    assert process.end() == 0, process.errors
    events = [json.loads(line) for line in process.lines]
    texts = {event["text"] for event in events if event["event"] == "output"}
    assert texts == {"printed", "written", "put", "of a child", "unfinished"}
    assert "succeeded" in {event["event"] for event in events}


TALKS = """
from distributed import get_client
def task(n):
    print("in task", n)
    return n
def good(): return get_client().gather(get_client().map(task, range(3), pure=False))
def bad(): raise ValueError("no such day")
"""
REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "output.md"


def documented() -> dict[str, set[str]]:
    """Return the fields of each event, as the reference has them."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", REFERENCE.read_text(), re.MULTILINE)
    return {event: set(re.findall(r"`(\w+)`", fields)) for event, fields in rows}


@pytest.mark.parametrize(("name", "last"), [("good", "succeeded"), ("bad", "failure")])
def test_every_event_is_documented(
    dask_flows: Callable[..., Any], tmp_path: Path, dask: Any, name: str, last: str
) -> None:
    """With all its fields; programs are written after it."""
    (tmp_path / "flow.py").write_text(TALKS)
    known = documented()

    process = dask_flows("run", f"flow.py:{name}", "--address", dask.address, "--output", "json")
    process.end()

    events = [json.loads(line) for line in process.lines]
    for event in events:
        assert set(event) - {"time", "event"} <= known[event["event"]], event
    assert events[-1]["event"] == last
    assert last == "failure" or {"worker", "tasks", "workers"} <= {e["event"] for e in events}


STRANGE = """
class Mute(Exception):
    def __str__(self): raise RuntimeError("no")
def mute(): raise Mute
def huge(): raise ValueError("x" * 1_000_000)
"""


@pytest.mark.parametrize(
    ("name", "says"), [("mute", "Mute: its text cannot be shown"), ("huge", "characters left out")]
)
def test_a_strange_exception_is_a_failure_like_any(
    run_here: Callable[..., Any], tmp_path: Path, dask: Any, name: str, says: str
) -> None:
    """One line, exit code 1, not a megabyte."""
    (tmp_path / "flow.py").write_text(STRANGE)
    ran = run_here(Request(flow=f"flow.py:{name}", mode="static", address=dask.address))

    assert ran.code == 1
    assert says in ran.lines[-1]
    assert len(ran.text) < 100_000


CHILD = """
import signal, subprocess, sys
from distributed import get_client
ASK = "import signal as s; print([n.name for n in (s.SIGTERM, s.SIGINT) if s.getsignal(n) is s.SIG_IGN])"
def task():
    return subprocess.run([sys.executable, "-c", ASK], check=True, capture_output=True, text=True).stdout
def main():
    return get_client().submit(task).result().strip()
"""


def test_programs_that_tasks_start_are_not_deaf(
    run_here: Callable[..., Any], tmp_path: Path
) -> None:
    """A local worker leaves signals to the runner; what its tasks start hears them as any program."""
    (tmp_path / "flow.py").write_text(CHILD)
    ran = run_here(Request(flow="flow.py:main", mode="local", workers=1, threads=1))

    assert ran.code == 0, ran.text
    assert 'result "[]"' in ran.lines

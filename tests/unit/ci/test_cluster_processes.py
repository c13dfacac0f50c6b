"""Only processes that we started are ever signalled, even when pids are reused."""

import dataclasses
import json
import os
import signal

import pytest
from onenode import processes
from onenode.components import Component
from onenode.paths import Paths
from onenode.waiting import SystemClock, wait_for

SLEEPER = Component("sleeper", 0, ("sleep", "60"), "http://127.0.0.1:1/")


@pytest.fixture
def paths(tmp_path):
    paths = Paths(cache=tmp_path, cluster=tmp_path / "cluster")
    paths.make()
    return paths


def write_record(paths, **changes):
    """Record this very process, as if it were the component, with some facts changed."""
    here = processes.Record(
        pid=os.getpid(),
        start=processes.start_time(os.getpid()),
        boot=processes.boot_id(),
        spec="spec",
    )
    record = dataclasses.replace(here, **changes)
    (paths.pids / "sleeper").write_text(json.dumps(dataclasses.asdict(record)))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("1 (plain) S 0 1 1 0 -1 4 1 1 1 1 1 1 1 1 20 0 1 0 42 0", ("S", 42)),
        ("1 (a) Z (b) S 0 1 1 0 -1 4 1 1 1 1 1 1 1 1 20 0 1 0 43 0", ("S", 43)),
        ("1 (a b) Z 0 1 1 0 -1 4 1 1 1 1 1 1 1 1 20 0 1 0 44 0", ("Z", 44)),
    ],
)
def test_stat_is_read_from_behind_the_name(text, result):
    """A program may call itself anything, brackets included."""
    assert processes.parse_stat(text) == result


@pytest.mark.parametrize("changes", [{"start": 1}, {"boot": "another"}, {"pid": 2**22 + 1}])
def test_a_reused_pid_is_neither_found_nor_killed(paths, changes):
    """The pid alone proves nothing: this test would not survive a mistake."""
    write_record(paths, **changes)

    assert processes.find("sleeper", paths) is None
    assert processes.stop([SLEEPER], paths) == []


@pytest.mark.parametrize("text", ["", "{", "{}", '{"pid": 1}'])
def test_a_damaged_record_is_no_record(paths, text):
    """A write cut off by a crash must not block the next start."""
    (paths.pids / "sleeper").write_text(text)

    assert processes.find("sleeper", paths) is None


def test_start_find_stop(paths):
    """What was started is found, ended by SIGTERM, and then gone."""
    record = processes.start(SLEEPER, "spec", paths)
    found = processes.find("sleeper", paths)
    stopped = processes.stop([SLEEPER], paths)
    _, status = os.waitpid(record.pid, 0)

    assert found == record
    assert stopped == ["sleeper"]
    assert os.WTERMSIG(status) == signal.SIGTERM
    assert processes.find("sleeper", paths) is None


def test_what_ignores_the_signal_is_killed(paths):
    """Stopping has a deadline of its own."""
    stubborn = dataclasses.replace(
        SLEEPER,
        argv=("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"),
        stop_seconds=0.1,
    )
    record = processes.start(stubborn, "spec", paths)
    log = processes.log_path("sleeper", paths)
    wait_for("trap", lambda: None if processes.tail(log, 1) else "silent", 10, SystemClock())
    processes.stop([stubborn], paths)
    _, status = os.waitpid(record.pid, 0)

    assert os.WTERMSIG(status) == signal.SIGKILL


def test_tail_gives_the_last_lines(tmp_path):
    """An error shows the end of a log, and nothing for a log that does not exist."""
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(1000)))

    assert processes.tail(log, 2) == "line 998\nline 999"
    assert processes.tail(tmp_path / "none", 2) == ""

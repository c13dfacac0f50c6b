"""Rules of signals, with real processes: in each phase one ends the run in time, two at once, and nothing stays."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from dask_flows.run.stopping import GRACE, LAST_WORDS

from .conftest import WITHIN, eventually

pytestmark = pytest.mark.processes


FLOWS = """
import asyncio, ctypes, signal, sys, time
from contextlib import contextmanager
from distributed import get_client, worker_client

def sleeps():
    print("here"); time.sleep(300)

def waits():
    future = get_client().submit(time.sleep, 8, pure=False)
    print("here"); future.result()

def queues():
    client = get_client()
    futures = client.map(time.sleep, [6] * 40, pure=False)
    print("here"); client.gather(futures)

async def awaits():
    print("here"); await asyncio.sleep(300)

def inside():
    with worker_client() as client:
        return client.submit(time.sleep, 6, pure=False).result()

def nests():
    future = get_client().submit(inside, pure=False)
    print("here"); future.result()

def stuck():
    libc = ctypes.CDLL(None)
    lock = ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(lock)
    print("here"); libc.pthread_mutex_lock(lock)

def deaf():
    print("here")
    while True:
        try:
            while True: time.sleep(0.05)
        except BaseException: pass

def slow_to_clean():
    try:
        print("here"); time.sleep(300)
    finally:
        time.sleep(300)

def done():
    return 1

def answers():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("here"); time.sleep(300)
"""
SLOW_IMPORT = "import time\nprint('here')\ntime.sleep(300)\ndef main(): pass\n"
GRANDCHILDREN = """
import subprocess, sys, time
code = "import signal, time; signal.signal(15, signal.SIG_IGN); signal.signal(2, signal.SIG_IGN); print('here', flush=True); time.sleep(300)"
subprocess.run([sys.executable, "-c", code])
"""
STUBBORN = """
import time
from distributed import get_client
def main(): get_client().close = lambda **_: time.sleep(300)
"""
AT_ONCE = GRACE - LAST_WORDS  # seconds; a first signal alone would take longer
AT_A_TIME = 3


@dataclass(frozen=True)
class Case:
    """What is run, what it says when it is where the signal is to hit it."""

    name: str
    args: tuple[str, ...]
    at: str = "here"
    address: str = "shared"


def flow(name: str, *more: str, **changes: Any) -> Case:
    return Case(name, (f"flow.py:{name}", *more), **changes)


CASES = [
    Case("no scheduler", ("flow.py:sleeps",), "cluster static at", "nobody"),
    Case("a scheduler that says nothing", ("flow.py:sleeps",), "cluster static at", "silent"),
    Case("local cluster starting", ("flow.py:sleeps", "--workers", "2"), "cluster local", ""),
    Case("local cluster running", ("flow.py:waits", "--workers", "1"), address=""),
    flow("deaf", "--workers", "1", address=""),
    Case("waiting for workers", ("flow.py:sleeps", "--minimum-workers", "50"), "waiting for 50"),
    Case("importing", ("slow.py:main",)),
    *(flow(name) for name in ("sleeps", "waits", "awaits", "nests", "stuck", "deaf", "slow_to_clean")),
    Case("command", ("--", "python", "grandchildren.py")),
]  # fmt: skip


@dataclass
class Ended:
    """How a process ended."""

    code: int
    seconds: float
    text: str
    errors: str
    left: list[str]


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """An address that takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def ends(
    dask_flows: Callable[..., Any], tmp_path: Path, dask: Any, silent: str
) -> Callable[..., Ended]:
    """Start a case, send signals when it is there, and return how it ended."""
    (tmp_path / "flow.py").write_text(FLOWS)
    (tmp_path / "slow.py").write_text(SLOW_IMPORT)
    (tmp_path / "grandchildren.py").write_text(GRANDCHILDREN)
    places = {"shared": dask.address, "nobody": "tcp://127.0.0.1:9", "silent": silent}
    number = iter(range(1000))

    def make(case: Case, *signals: int, output: str = "text") -> Ended:
        address = ("--address", places[case.address]) if case.address else ()
        mark = f"mark-{os.getpid()}-{next(number)}"
        scratch = tmp_path / mark
        scratch.mkdir()
        process = dask_flows(
            "run", *address, "--output", output, *case.args, TEST_MARK=mark, TMPDIR=str(scratch)
        )
        process.wait_for(case.at)
        begin = time.monotonic()
        for position, one in enumerate(signals):
            if position:
                time.sleep(0.1)  # two at the same time are one to the kernel
            process.send(one)
        code = process.end(20)
        seconds = time.monotonic() - begin
        left = gone(mark, scratch if len(signals) == 1 else None)
        return Ended(code, seconds, process.text, "".join(process.errors), left)

    return make


def gone(mark: str, scratch: Path | None) -> list[str]:
    """Return the processes, by their environment, and worker's folders that are left after a moment."""
    end = time.monotonic() + 3
    while time.monotonic() < end:
        folders = scratch.rglob("worker-*") if scratch is not None else ()
        left = [*marked(mark), *(str(path) for path in folders if path.is_dir())]
        if not left:
            break
        time.sleep(0.05)
    return left


def marked(mark: str) -> Iterator[str]:
    """Yield the processes that a run has started, by what they inherit."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            if f"TEST_MARK={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                yield (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue


# Python itself leaves a file of its cache open if a signal comes between its open and its close, and says so
# under -W error, which processes of the tests inherit.
OF_IMPORTLIB = re.compile(
    r"""Exception\ ignored\ in:\ <_io\.FileIO\ name='[^']+\.pyc'[^>]*>\n
    Traceback.*\n \ +File\ "<frozen\ importlib\._bootstrap_external>".*\n
    ResourceWarning:\ unclosed\ file.*\n""",
    re.VERBOSE,
)


def wrong(case: Case, ended: Ended, code: int, name: str, within: float) -> str:
    """Return what is not as promised; empty if all is."""
    lines = [line for line in ended.text.splitlines() if "Cancelled: interrupted by " in line]
    faults = {
        f"exit code {ended.code}": ended.code != code,
        f"after {ended.seconds:.1f} s": ended.seconds > within,
        f"left {ended.left}": bool(ended.left),
        f"said {ended.text}": len(lines) != 1 or name not in lines[0],
        f"errors {ended.errors}": bool(OF_IMPORTLIB.sub("", ended.errors)),
    }
    found = ", ".join(fault for fault, there in faults.items() if there)
    return found and f"{case.name}: {found}"


def check(
    cases: list[Case], run: Callable[[Case], tuple[Ended, signal.Signals]], within: float
) -> None:
    """Run the cases, some at a time."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        ended = zip(cases, pool.map(run, cases), strict=True)
        faults = [wrong(case, one, 128 + by, by.name, within) for case, (one, by) in ended]
    assert not any(faults), "\n".join(filter(None, faults))


@pytest.mark.parametrize(
    ("number", "some"),
    [(signal.SIGTERM, [*CASES, flow("answers")]), (signal.SIGINT, CASES[:4] + CASES[7:9])],
)
def test_one_signal_ends_a_run_in_time_in_every_phase(
    ends: Callable[..., Ended], number: signal.Signals, some: list[Case]
) -> None:
    """One line, the code of the signal, and no process, folder or word of others; its own exit is none."""
    check(some, lambda case: (ends(case, number), number), WITHIN)


def test_two_signals_end_a_run_at_once_in_every_phase(ends: Callable[..., Ended]) -> None:
    """With the code of the first, the line, and nothing that stays.

    Signals that wait together are delivered by number, not in the order they were sent: only SIGINT is
    sure to be the first of the two.
    """
    check(
        CASES,
        lambda case: (ends(case, signal.SIGINT, signal.SIGTERM), signal.SIGINT),
        AT_ONCE,
    )


def test_json_lines_stay_valid_and_name_the_end_once(ends: Callable[..., Ended]) -> None:
    """A program reads them, also of a run that is ended by force."""
    for name in ("sleeps", "deaf"):
        ended = ends(flow(name, at='"text": "here"'), signal.SIGTERM, output="json")

        events = [json.loads(line) for line in ended.text.splitlines()]
        failures = [event for event in events if event["event"] == "failure"]
        assert [(one["reason"], one["exit_code"]) for one in failures] == [("Cancelled", 143)]


def test_waiting_tasks_of_an_interrupted_run_are_cancelled(
    ends: Callable[..., Ended], dask: Any
) -> None:
    """On a shared scheduler only what runs already goes on: Python code in a task cannot be ended."""
    ended = ends(flow("queues"), signal.SIGTERM)

    def waiting(dask_scheduler: Any) -> int:
        states = ("queued", "waiting", "no-worker")
        return sum(task.state in states for task in dask_scheduler.tasks.values())

    assert ended.code == 143
    with Client(dask.address, set_as_default=False) as client:
        eventually(lambda: client.run_on_scheduler(waiting) == 0)


def test_a_signal_while_closing_keeps_the_outcome_and_is_not_0(
    dask_flows: Callable[..., Any], tmp_path: Path, dask: Any
) -> None:
    """The last line stays the last; what does not close has its few seconds."""
    (tmp_path / "flow.py").write_text(STUBBORN)
    process = dask_flows("run", "flow.py:main", "--address", dask.address)
    process.wait_for("succeeded in")
    begin = time.monotonic()

    process.send(signal.SIGINT)

    assert process.end(20) == 130
    assert time.monotonic() - begin < WITHIN
    assert process.lines[-1].startswith("succeeded in")

"""Rules of worker output: a run hears its own tasks, whole lines, with the worker's name, not too many."""

import asyncio
import io
import logging
import sys
import threading
from collections.abc import Callable, Collection
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client
from distributed.utils import set_thread_state
from distributed.worker import _worker_cvar

from dask_flows.clusters.complaints import Complaints, forward, keep
from dask_flows.clusters.lacking import SCHEDULER, WORKERS, Lacking
from dask_flows.clusters.output import (
    TOPIC,
    Budget,
    Receiver,
    Tee,
    display_name,
    install,
    uninstall,
)
from dask_flows.run import Request

from .conftest import PATIENCE, Process, eventually, free_port


class Clock:
    """Says what it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> Any: ...


@dataclass
class Task:
    """A task as a worker knows it."""

    annotations: dict[str, str]
    run_spec: Any = None


@dataclass
class Loop:
    """Remembers what is to be called later."""

    later: list[Any] = field(default_factory=list)

    def add_callback(self, _: Any, __: float, callback: Any) -> None:
        self.later.append(callback)

    def call_later(self) -> None: ...


class Worker:
    """A worker that remembers its events."""

    def __init__(self, name: Any = "pod-0", **tags: str) -> None:
        self.name = name
        self.events: list[dict[str, Any]] = []
        self.loop = Loop()
        self.active_keys: Collection[str] = set()
        self.state = type("State", (), {})()
        self.state.tasks = {key: Task({"dask-flows": tag}) for key, tag in tags.items()}

    def log_event(self, topic: str, message: dict[str, Any]) -> None:
        assert topic == TOPIC
        self.events.append(message)

    def running(self, key: str) -> Any:
        """Let this thread run a task."""
        return set_thread_state(key=key, execution_state={"worker": self})

    @property
    def texts(self) -> list[str]:
        return [event["text"] for event in self.events]


@pytest.fixture
def own() -> io.StringIO:
    """The worker's own stream."""
    return io.StringIO()


def tee(own: io.StringIO, *, echo: bool = True, burst: float = 100) -> Tee:
    """Return a tee before a stream."""
    return Tee("stdout", own, own if echo else None, Budget(1, burst, Clock()), instead_of=own)


def test_outside_of_tasks_nothing_is_sent(own: io.StringIO) -> None:
    """The worker's own log is nobody's output."""
    tee(own).write("Start worker\n")

    assert own.getvalue() == "Start worker\n"


def test_whole_lines_are_sent_with_worker_and_tag(own: io.StringIO) -> None:
    """However print cuts them."""
    worker = Worker(a="run-1")
    with worker.running("a"):
        print("x", 1, file=tee(own))

    assert worker.events == [
        {"name": "pod-0", "tag": "run-1", "stream": "stdout", "text": "x 1", "dropped": 0}
    ]
    assert own.getvalue() == "x 1\n"


def test_without_echo_a_task_writes_to_its_run_only(own: io.StringIO) -> None:
    """A local worker shares the runner's terminal."""
    worker = Worker()
    stream = tee(own, echo=False)
    with worker.running("a"):
        stream.write("task\n")
    stream.write("other\n")

    assert own.getvalue() == "other\n"
    assert worker.texts == ["task"]


def test_an_unfinished_line_belongs_to_the_task_that_began_it(own: io.StringIO) -> None:
    """The thread's next task may be another run's."""
    worker = Worker(a="run-1", b="run-2")
    stream = tee(own)
    with worker.running("a"):
        stream.write("begun")
    with worker.running("b"):
        stream.write("next\n")

    assert [(e["tag"], e["text"]) for e in worker.events] == [("run-1", "begun"), ("run-2", "next")]


def test_an_unfinished_line_goes_a_moment_after_its_task(own: io.StringIO) -> None:
    """Not before: the task may go on writing it."""
    worker = Worker(a="run-1")
    with worker.running("a"):
        tee_ = tee(own)
        tee_.write("50 %")
        worker.active_keys = {"a"}
        worker.loop.later.pop()()
        assert worker.texts == []
        worker.active_keys = set()
        worker.loop.later.pop()()

    assert worker.texts == ["50 %"]


def test_flush_sends_an_unfinished_line(own: io.StringIO) -> None:
    """As on a terminal."""
    worker = Worker(a="run-1")
    with worker.running("a"):
        print("50 %", end="", flush=True, file=tee(own))

    assert worker.texts == ["50 %"]


def test_threads_do_not_mix_their_lines(own: io.StringIO) -> None:
    """Each has its own unfinished line."""
    worker = Worker(a="run-1", b="run-1")
    stream = tee(own)
    begun, other = threading.Event(), threading.Event()

    def second() -> None:
        begun.wait(10)
        with worker.running("b"):
            stream.write("two\n")
        other.set()

    thread = threading.Thread(target=second)
    thread.start()
    with worker.running("a"):
        stream.write("on")
        begun.set()
        other.wait(10)
        stream.write("e\n")
    thread.join()

    assert worker.texts == ["two", "one"]


def test_too_much_is_cut_and_counted(own: io.StringIO) -> None:
    """The scheduler must not choke on output; the worker's own log has everything."""
    clock = Clock()
    stream = Tee("stdout", own, own, Budget(10, 3, clock), instead_of=own)
    worker = Worker()
    with worker.running("a"):
        stream.write("".join(f"{n}\n" for n in range(10)))
        clock.seconds = 0.1
        stream.write("later\n")

    assert worker.texts == ["0", "1", "2", "later"]
    assert worker.events[-1]["dropped"] == 7
    assert own.getvalue().count("\n") == 11


def test_lines_cut_at_the_end_are_counted_too(own: io.StringIO) -> None:
    """Although no line follows that could carry the number."""
    stream = Tee("stdout", own, own, Budget(10, 1, Clock()), instead_of=own)
    worker = Worker(a="run-1")
    with worker.running("a"):
        stream.write("one\ntwo\nthree\n")
    worker.loop.later.pop()()
    told: list[str] = []
    receiver = Receiver("run-1", lambda _, text, __: told.append(text), strict=True)
    for event in worker.events:
        receiver((0.0, event))

    assert worker.loop.later == []
    assert told == ["one", "… 2 lines only in the worker's own log"]


def test_long_lines_are_cut(own: io.StringIO) -> None:
    """One line is one event."""
    worker = Worker()
    with worker.running("a"):
        tee(own).write("x" * 100_000 + "\n")

    assert len(worker.texts[0]) == 8192


@pytest.mark.parametrize(
    ("tag", "strict", "heard"),
    [
        ("mine", True, True),
        ("mine", False, True),
        ("other", True, False),
        ("other", False, False),
        (None, True, False),
        (None, False, True),
    ],
)
def test_a_run_hears_its_own_tasks_only(tag: str | None, strict: bool, heard: bool) -> None:
    """On a cluster of its own also those without a tag."""
    lines: list[tuple[str, ...]] = []
    receiver = Receiver("mine", lambda *line: lines.append(line), strict=strict)

    receiver((0.0, {"name": "pod-0", "tag": tag, "stream": "stdout", "text": "x", "dropped": 0}))

    assert lines == ([("pod-0", "x", "stdout")] if heard else [])


def test_dropped_lines_are_told() -> None:
    """With where to find them."""
    lines: list[str] = []
    receiver = Receiver("mine", lambda _, text, __: lines.append(text), strict=True)

    receiver((0.0, {"name": "w", "tag": "mine", "stream": "stdout", "text": "x", "dropped": 7}))

    assert lines == ["… 7 lines only in the worker's own log", "x"]


def test_a_tee_is_installed_once_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers of logging move along: they keep the stream that they were made with."""
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    handler = logging.StreamHandler(err)
    logger = logging.getLogger("test-output")
    logger.addHandler(handler)
    worker = Worker(a="run-1")
    try:
        install(echo=True)
        first = sys.stdout
        install(echo=True)
        assert sys.stdout is first
        with worker.running("a"):
            logger.warning("careful")
        assert worker.texts == ["careful"]
    finally:
        uninstall()
        logger.removeHandler(handler)

    assert (sys.stdout, sys.stderr) == (out, err)
    assert handler.stream is err


@pytest.mark.parametrize(
    ("name", "shown"), [(0, "worker-0"), ("pod-1", "pod-1"), ("tcp://h:1", "tcp://h:1")]
)
def test_workers_have_names_for_people(name: Any, shown: str) -> None:
    """Dask numbers those of a local cluster."""
    assert display_name(name) == shown


OURS = ModuleNotFoundError("No module named 'dask_flows'")
BOTH = "the scheduler has no dask_flows, some workers have no dask_flows"
DO = "install dask-flows there, or see the workers' own logs"


@pytest.mark.parametrize(
    ("noted", "told"),
    [
        ([], []),
        (
            [("no counts", SCHEDULER, OURS), ("no modules", SCHEDULER, OURS)],
            [f"no counts, no modules (tcp://h:1: the scheduler has no dask_flows): {DO}"],
        ),
        (
            [("no counts", SCHEDULER, OURS), ("no output", WORKERS, OURS)],
            [f"no counts, no output (tcp://h:1: {BOTH}): {DO}"],
        ),
        (
            [("no counts", SCHEDULER, ValueError("no pickles\nhere"))],
            [f"no counts (tcp://h:1: the scheduler: ValueError: no pickles): {DO}"],
        ),
        ([("no counts", SCHEDULER, TimeoutError())],
         [f"no counts (tcp://h:1: the scheduler: TimeoutError): {DO}"]),
    ],
)  # fmt: skip
def test_what_is_lacking_is_one_line(noted: list[Any], told: list[str]) -> None:
    """Whatever is missing for a cause; nothing if nothing is."""
    lacking, lines = Lacking("tcp://h:1"), list[str]()
    for what, who, error in noted:
        lacking.note(what, who, error)
    lacking.tell(lambda text, **_: lines.append(text))

    assert lines == told


QUIET = """
import beside
from distributed import get_client
def task(n):
    print("in task", n)
    return n
def main():
    return sum(get_client().gather(get_client().map(task, range(3), pure=False)))
"""


@pytest.fixture
def outside(start: Callable[..., Process], tmp_path: Path) -> Callable[[bool], Process]:
    """Start a scheduler without this package, or one with it, and a worker without."""
    port = free_port()

    def begin(*args: str, ours: bool = False) -> Process:
        found = {} if ours else {"PYTHONPATH": ""}
        return start(sys.executable, "-m", "dask", *args, "--no-dashboard", cwd=tmp_path, **found)

    def make(ours: bool) -> Process:
        begin("scheduler", "--host", "127.0.0.1", "--port", str(port), ours=ours)
        made = begin("worker", address, "--no-nanny", "--memory-limit", "0", "--name", "pod-0")
        with Client(address, timeout=PATIENCE, set_as_default=False) as client:
            client.wait_for_workers(1, PATIENCE)
        return made

    address = f"tcp://127.0.0.1:{port}"
    make.address = address  # type: ignore[attr-defined]
    make.late = lambda: begin("worker", address, "--no-nanny", "--memory-limit", "0")  # type: ignore[attr-defined]
    return make


@pytest.mark.parametrize("ours", [False, True])
def test_a_cluster_without_this_package_runs_and_says_so_once(
    outside: Any, run_here: Callable[..., Any], tmp_path: Path, ours: bool
) -> None:
    """What is missing is no riddle, and workers that come later can still start."""
    (tmp_path / "beside.py").write_text("X = 1")
    (tmp_path / "flow.py").write_text(QUIET)
    outside(ours)
    ran = run_here(
        Request(
            flow="flow.py:main", mode="static", address=outside.address, strict_environment=False
        )
    )

    assert ran.code == 0, ran.text
    lines = [line for line in ran.lines if "dask_flows" in line]
    assert len(lines) == 1, ran.text
    assert "worker output is not shown" in lines[0]
    assert ("tasks are not counted" in lines[0]) is not ours
    assert ("the scheduler has no dask_flows" in lines[0]) is not ours
    late = outside.late()
    eventually(lambda: "Registered to" in "".join(late.errors) or late.popen.poll() is not None)
    assert late.popen.poll() is None, late.errors


ALONE = """
from distributed import Client, LocalCluster, get_client
kept = []
def alone():
    with LocalCluster(processes=False, n_workers=1, dashboard_address=":0") as mine:
        kept.append(mine)
        with Client(mine, set_as_default=False) as client:
            return client.submit(pow, 2, 3).result()
def both():
    get_client().submit(pow, 2, 3, pure=False).result()
    return alone()
def idle():
    return 8
"""


@pytest.mark.parametrize(("name", "told"), [("alone", 1), ("both", 0), ("idle", 0)])
def test_a_flow_with_a_cluster_of_its_own_is_told(
    run_here: Callable[..., Any], tmp_path: Path, dask: Any, name: str, told: int
) -> None:
    """Only where the run's cluster did nothing: then it is most likely a mistake."""
    (tmp_path / "flow.py").write_text(ALONE)
    ran = run_here(Request(flow=f"flow.py:{name}", mode="static", address=dask.address))

    assert ran.code == 0, ran.text
    lines = [line for line in ran.lines if line.startswith("warning: no task ran on this run's")]
    assert len(lines) == told, ran.text
    assert all("the flow made its own (LocalCluster)" in line for line in lines)


ASYNC = """
import asyncio, logging, threading
from distributed import get_client
async def inner(n):
    await asyncio.sleep(0)
    print("inner", n)
async def task(n):
    print("before", n)
    await asyncio.sleep(0.05)
    await asyncio.gather(inner(n), asyncio.to_thread(print, "thread", n))
    logging.getLogger("mine").warning("after %s", n)
    return n
def main():
    return sum(get_client().gather(get_client().map(task, range(3), pure=False)))
"""


def test_a_thread_of_a_coroutine_keeps_its_line_when_another_ends(own: io.StringIO) -> None:
    """Which one it belongs to is not known, so none of them ends the line but the last."""
    worker = Worker(a="run-1", b="run-1")
    for task in worker.state.tasks.values():
        task.run_spec = SimpleNamespace(is_coro=True)
    active = worker.active_keys = dict.fromkeys(worker.state.tasks)  # a set, but in order
    stream = tee(own)
    context = copy_context()
    context.run(_worker_cvar.set, worker)

    for ended in ("a", "b"):
        context.run(stream.write, f"before {ended} ")
        del active[ended]
        worker.loop.later.pop()()
    assert worker.texts == ["before a before b "]
    active["a"] = None
    context.run(print, "x", 1, file=stream)

    assert worker.texts == ["before a before b ", "x 1"]
    assert {event["tag"] for event in worker.events} == {"run-1"}


def test_a_part_of_a_coroutine_ends_the_line_that_the_coroutine_began(own: io.StringIO) -> None:
    """Its inner task has a name of its own, and prints in the same thread."""
    worker = Worker(a="run-1")
    worker.state.tasks["a"].run_spec = SimpleNamespace(is_coro=True)
    worker.active_keys = {"a"}
    stream = tee(own)

    async def inner() -> None:
        print("done", file=stream)

    async def outer() -> None:
        print("working", end=" … ", file=stream)
        await asyncio.create_task(inner())

    async def execute() -> None:
        _worker_cvar.set(worker)
        await asyncio.create_task(outer(), name="execute('a')")

    asyncio.run(execute())

    assert worker.texts == ["working … done"]


def test_coroutines_print_to_their_run(
    run_here: Callable[..., Any], tmp_path: Path, start_dask: Callable[[int], Any]
) -> None:
    """They share the worker's event loop; what they await and the threads they wait for count, too.

    With workers of its own: beside coroutines of another run the inner ones are nobody's.
    """
    (tmp_path / "flow.py").write_text(ASYNC)
    address = start_dask(2).address
    ran = run_here(Request(flow="flow.py:main", mode="static", address=address))

    assert ran.code == 0, ran.text
    said = {line.split("] ")[1] for line in ran.lines if line.startswith("[pod-")}
    words = ("before", "inner", "thread", "after")
    assert said == {f"{word} {n}" for word in words for n in range(3)}


@pytest.mark.parametrize(
    ("name", "level", "said", "sent"),
    [
        ("distributed.worker.memory", logging.WARNING, "high\nmore", 1),
        ("distributed.worker", logging.ERROR, "no heartbeat", 1),
        ("distributed.worker", logging.INFO, "Start worker", 0),
        ("distributed.worker", logging.WARNING, "Compute Failed", 0),
        ("distributed.worker.state_machine", logging.WARNING, "strange", 0),
        ("distributed.scheduler", logging.WARNING, "other", 0),
    ],
)
def test_a_worker_complains_to_the_run_that_has_it(
    name: str, level: int, said: str, sent: int
) -> None:
    """Of its own state, in one line; on a shared cluster nobody is told."""
    worker = Worker()
    forward(worker)
    forward(worker)
    try:
        logging.getLogger(name).log(level, said)
    finally:
        keep(worker)
    logging.getLogger(name).log(level, said)
    lines: list[str] = []
    alone = Receiver("run-1", lambda _, text, __: lines.append(text), strict=False)
    shared = Receiver("run-1", lambda _, text, __: lines.append(f"shared {text}"), strict=True)
    for event in worker.events:
        alone((0.0, event))
        shared((0.0, event))

    told = f"{name} - {logging.getLevelName(level)} - {said.partition(chr(10))[0]}"
    assert lines == [told] * sent


def test_complaints_are_limited_and_not_those_of_tasks() -> None:
    """What tasks write goes another way; a worker in trouble repeats itself."""
    worker, clock = Worker(a="run-1"), Clock()
    complaints = Complaints(worker, clock)
    record = logging.LogRecord("distributed.worker", logging.WARNING, "", 0, "high", (), None)
    with worker.running("a"):
        complaints.emit(record)
    assert worker.events == []
    for _ in range(30):
        complaints.emit(record)
    clock.seconds = 1.0
    complaints.emit(record)

    assert len(worker.events) == 21
    assert worker.events[-1]["dropped"] == 10

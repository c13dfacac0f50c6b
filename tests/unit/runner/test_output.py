"""Rules of worker output: a run hears its own tasks, whole lines, with the worker's name, not too many."""

import io
import logging
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from distributed.utils import set_thread_state

from dask_flows.clusters.output import (
    TOPIC,
    Budget,
    Receiver,
    Tee,
    display_name,
    install,
    uninstall,
)


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
        self.active_threads: dict[int, str] = {}
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
        worker.active_threads = {1: "a"}
        worker.loop.later.pop()()
        assert worker.texts == []
        worker.active_threads = {}
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

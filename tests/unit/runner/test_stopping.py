"""Rules of stopping: one way for all causes, the first counts, and never exit code 0."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from dask_flows.outcome import CANCELLED, FAILED
from dask_flows.run.limit import Limit
from dask_flows.run.stopping import Cause, Stopped, Stopper, cause_of


class Gone(BaseException):
    """Stands for the end of the process."""


@dataclass
class End:
    """Remembers last words and exit codes instead of ending the process."""

    words: list[tuple[str, float]] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    forced: threading.Event = field(default_factory=threading.Event)

    def last_words(self, cause: Cause, seconds: float) -> None:
        self.words.append((cause.reason, seconds))

    def exit_now(self, code: int) -> None:
        self.codes.append(code)
        self.forced.set()
        if threading.current_thread() is threading.main_thread():
            raise Gone

    def stopper(self, grace: float = 60.0) -> Stopper:
        return Stopper(self.last_words, exit_now=self.exit_now, grace=grace)


@pytest.fixture
def end() -> End:
    """A process that only pretends to end."""
    return End()


def kill(number: int = signal.SIGTERM) -> None:
    """Send a signal to this process and let it arrive."""
    os.kill(os.getpid(), number)
    time.sleep(0)


def stop(stopper: Stopper, cause: Cause) -> None:
    """Stop, and let the signal arrive."""
    stopper.stop(cause)
    time.sleep(0)


def start_and_wait(thread: threading.Thread) -> None:
    """Wait as a flow does in ``result()``."""
    thread.start()
    threading.Event().wait(30)


@contextmanager
def closing(cleaned: list[bool]) -> Iterator[None]:
    """Stand for a flow that cleans up."""
    try:
        yield
    finally:
        cleaned.append(True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_raises_once_and_names_itself(end: End, number: int, code: int) -> None:
    """So that finally blocks run."""
    cleaned: list[bool] = []
    with end.stopper() as stopper:
        with pytest.raises(Stopped), closing(cleaned):
            kill(number)

        assert stopper.cause == Cause(
            "Cancelled", f"interrupted by {signal.Signals(number).name}", code
        )
    assert cleaned
    assert end.codes == []


def test_a_second_signal_ends_at_once(end: End) -> None:
    """With the code of the first, and only the quick part of the report."""
    with end.stopper():
        with pytest.raises(Stopped):
            kill()
        with pytest.raises(Gone):
            kill(signal.SIGINT)

    assert end.codes == [143]
    assert end.words == [("Cancelled", 0.0)]


def test_another_thread_stops_the_main_one(end: End) -> None:
    """Also while it waits without looking."""
    with end.stopper() as stopper:
        cause = cause_of("SchedulerLost", "gone")
        thread = threading.Thread(target=stopper.stop, args=(cause,))
        with pytest.raises(Stopped):
            start_and_wait(thread)
        thread.join()

        assert stopper.cause == cause


def test_a_signal_after_a_stop_does_not_end_the_clean_up(end: End) -> None:
    """The kubelet's SIGTERM often follows the agent's word; only its second one is impatience."""
    with end.stopper() as stopper:
        with pytest.raises(Stopped):
            stop(stopper, cause_of("Cancelled", "by spec.cancel"))
        kill()
        assert end.codes == []
        with pytest.raises(Gone):
            kill()

        assert stopper.cause == cause_of("Cancelled", "by spec.cancel")


def test_the_first_cause_counts(end: End) -> None:
    """What follows is its consequence."""
    with end.stopper() as stopper:
        with pytest.raises(Stopped):
            stop(stopper, cause_of("DeadlineExceeded", "5 s"))
        stopper.stop(cause_of("SchedulerLost", "gone"))

        assert stopper.settle() == cause_of("DeadlineExceeded", "5 s")


def test_a_run_that_does_not_end_is_ended(end: End) -> None:
    """Even if the flow swallows the exception; the report comes first."""
    with end.stopper(grace=1.0):
        with pytest.raises(Stopped):
            kill()

        assert end.forced.wait(10)
    assert end.words == [("Cancelled", 1.0)]
    assert end.codes == [143]


def test_after_the_outcome_a_signal_only_hurries(end: End) -> None:
    """The outcome stands; the exit code is never 0."""
    with end.stopper() as stopper:
        assert stopper.settle() is None
        with pytest.raises(Gone):
            kill()

        assert stopper.cause is None
    assert end.codes == [143]
    assert end.words == []


def test_after_the_outcome_nothing_stops_the_run(end: End) -> None:
    """A late word of the agent changes nothing."""
    with end.stopper() as stopper:
        stopper.settle()
        stopper.stop(cause_of("Cancelled", "too late"))

        assert stopper.cause is None


def test_the_handlers_of_before_come_back(end: End) -> None:
    """A program that uses us keeps its own."""
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with end.stopper():
        pass

    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.parametrize(
    ("reason", "code", "outcome"),
    [
        ("Cancelled", 143, CANCELLED),
        ("DeadlineExceeded", 5, FAILED),
        ("SchedulerLost", 4, FAILED),
        ("WorkersLost", 4, FAILED),
        ("DuplicateStart", 96, FAILED),
        ("Anything", 143, FAILED),
    ],
)
def test_each_reason_has_its_exit_code(reason: str, code: int, outcome: str) -> None:
    """As documented."""
    cause = cause_of(reason, "x")

    assert (cause.exit_code, cause.outcome) == (code, outcome)


class FakeStopper:
    """Waits for the cause."""

    def __init__(self) -> None:
        self.causes: list[Cause] = []
        self.stopped = threading.Event()

    def stop(self, cause: Cause) -> None:
        self.causes.append(cause)
        self.stopped.set()


class Clock:
    """Says what it is told to."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> Any: ...


def test_the_deadline_counts_from_the_start(end: End) -> None:
    """One that is set later, and has passed, stops the run at once."""
    stopper, clock = FakeStopper(), Clock()
    limit = Limit(stopper, clock)  # type: ignore[arg-type]
    clock.seconds = 100.0

    limit.set(99)

    assert stopper.stopped.wait(10)
    assert stopper.causes[0].reason == "DeadlineExceeded"
    assert "99 s" in stopper.causes[0].message


def test_a_deadline_may_be_taken_back(end: End) -> None:
    """The agent may change it while the run goes on."""
    stopper, clock = FakeStopper(), Clock()
    limit = Limit(stopper, clock)  # type: ignore[arg-type]

    limit.set(0.2)
    limit.set(None)

    assert not stopper.stopped.wait(0.4)
    limit.end()

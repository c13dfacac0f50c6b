"""Rules of stopping: one way for all causes, the first counts, and never exit code 0."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest

from dask_flows.outcome import CANCELLED, FAILED
from dask_flows.run import threaded
from dask_flows.run.cause import Cause, Stopped, cause_of
from dask_flows.run.limit import Limit
from dask_flows.run.stopping import Stopper
from dask_flows.run.threaded import ThreadStopper, raise_in
from dask_flows.run.waking import WAKE

from .stops import End, answering, kill, nothing, stopped_by


@pytest.fixture
def end() -> End:
    """A process that only pretends to end."""
    return End()


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

    def flow() -> None:
        with closing(cleaned):
            kill(number)

    with end.stopper() as stopper:
        assert stopped_by(stopper, flow)
        assert stopper.settle() == Cause(
            "Cancelled", f"interrupted by {signal.Signals(number).name}", code
        )

    assert cleaned
    assert stopper.exit_code == code
    assert end.codes == []


@pytest.mark.parametrize("before", [True, False])
def test_outside_of_the_steps_nothing_is_raised(end: End, before: bool) -> None:
    """What comes before stops the first step, what comes after the last one is still the cause."""
    with end.stopper() as stopper:
        if before:
            kill()
        assert stopped_by(stopper, nothing) is before
        if not before:
            kill()

        assert stopper.settle() == Cause("Cancelled", "interrupted by SIGTERM", 143)


def test_a_second_signal_ends_at_once(end: End) -> None:
    """With the code of the first, and a line within half a second."""

    def deaf() -> None:
        with suppress(Stopped):
            kill()
        kill(signal.SIGINT)
        end.forced.wait(10)

    with end.stopper() as stopper:
        assert not stopped_by(stopper, deaf)

        assert end.codes == [143]
        assert end.words == [("Cancelled", 0.5)]


def test_another_thread_stops_the_main_one(end: End) -> None:
    """Also while it waits without looking."""
    with end.stopper() as stopper:
        cause = cause_of("SchedulerLost", "gone")
        thread = threading.Thread(target=stopper.stop, args=(cause,))
        assert stopped_by(stopper, partial(start_and_wait, thread))
        thread.join()

        assert stopper.cause == cause


def test_a_signal_after_a_stop_does_not_end_the_clean_up(end: End) -> None:
    """The kubelet's SIGTERM often follows the agent's word; only its second one is impatience."""
    cause = cause_of("Cancelled", "by spec.cancel")
    with end.stopper() as stopper:
        assert stopped_by(stopper, partial(stopper.stop, cause))
        kill()
        assert end.codes == []
        kill()
        assert end.forced.wait(10)

        assert stopper.cause == cause


def test_a_second_stop_does_not_hide_the_first(end: End) -> None:
    """Before its signal has arrived: a deadline and a cancel often come together."""
    first, second = cause_of("DeadlineExceeded", "5 s"), cause_of("SchedulerLost", "gone")

    def both() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            stopper.stop(first)
            stopper.stop(second)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        threading.Event().wait(1)

    with end.stopper() as stopper:
        assert stopped_by(stopper, both)
        assert stopper.settle() == first


def test_a_run_that_does_not_end_is_ended(end: End) -> None:
    """Even if the flow swallows the exception; the report comes first."""
    with end.stopper(grace=1.0) as stopper:
        assert stopped_by(stopper, kill)
        assert end.forced.wait(10)

    assert end.words == [("Cancelled", 1.0)]
    assert end.codes == [143]


def test_last_words_that_block_do_not_keep_the_process() -> None:
    """A pipe that nobody reads, a lock that nobody releases."""
    end, released = End(), threading.Event()
    stopper = Stopper(lambda *_: released.wait(30), exit_now=end.exit_now, grace=1.0)  # type: ignore[arg-type,return-value]
    with stopper:
        assert stopped_by(stopper, kill)
        assert end.forced.wait(10)
    released.set()

    assert end.codes == [143]


def test_who_tells_the_end_is_decided_once(end: End) -> None:
    """After the outcome the watchdog only ends the process."""
    with end.stopper(grace=1.0, close_seconds=0) as stopper:
        assert stopped_by(stopper, kill)
        stopper.settle()
        stopper.ends_with(143)
        assert end.forced.wait(10)

    assert (end.words, end.codes) == ([], [143])


@pytest.mark.parametrize(("outcome", "code"), [(0, 143), (1, 1)])
def test_after_the_outcome_a_signal_changes_exit_code_0_only(
    end: End, outcome: int, code: int
) -> None:
    """The outcome stands and closing goes on; a second signal ends that."""
    with end.stopper() as stopper:
        assert stopper.settle() is None
        stopper.ends_with(outcome)
        kill()
        assert (stopper.exit_code, end.codes) == (code, [])
        kill(signal.SIGINT)
        assert end.forced.wait(10)

        assert stopper.cause is None
    assert (end.words, end.codes) == ([], [code])


def test_closing_has_its_time(end: End) -> None:
    """A cluster that does not close does not keep a finished run."""
    with end.stopper(close_seconds=0) as stopper:
        stopper.settle()
        stopper.ends_with(0)
        stopper.closing()
        assert end.forced.wait(10)

    assert end.codes == [0]


def test_after_the_outcome_nothing_stops_the_run(end: End) -> None:
    """A late word of the agent changes nothing."""
    with end.stopper() as stopper:
        stopper.settle()
        stopper.stop(cause_of("Cancelled", "too late"))

        assert stopper.cause is None
        assert stopper.exit_code == 0


def test_the_handlers_of_before_come_back(end: End) -> None:
    """A program that uses us keeps its own."""
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, WAKE)]
    hook = sys.unraisablehook
    with end.stopper():
        pass

    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, WAKE)] == before
    assert sys.unraisablehook == hook


def test_a_flow_may_take_the_signals_while_it_runs(end: End) -> None:
    """Afterwards they are ours again: it must not interrupt the report."""
    with end.stopper() as stopper:
        assert not stopped_by(stopper, partial(signal.signal, signal.SIGTERM, signal.SIG_IGN))
        kill()

        assert stopper.settle() == Cause("Cancelled", "interrupted by SIGTERM", 143)


@pytest.mark.parametrize("answer", [(), (0,), (None,), (3,), (143,)])
def test_a_flow_that_answers_sigterm_with_an_exit_is_interrupted(
    end: End, answer: tuple[Any, ...]
) -> None:
    """Row 5: a drained node wants it to end, whatever code its handler likes; one that goes on goes on."""
    reached: list[bool] = []
    with end.stopper() as stopper:
        stopped_by(stopper, answering(*answer), kill, partial(reached.append, True))

        told = None if reached else Cause("Cancelled", "interrupted by SIGTERM", 143)
        assert stopper.settle() == told

    assert bool(reached) is not bool(answer)
    assert stopper.exit_code == (0 if reached else 143)


def test_an_exit_without_a_signal_is_the_flow_s_own(end: End) -> None:
    """Also one with a handler that has never run, and one after a signal of another kind."""
    for number in (None, signal.SIGUSR1):
        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        with end.stopper() as stopper:
            steps = (partial(kill, number),) if number is not None else ()
            assert not stopped_by(stopper, answering(0), *steps, partial(sys.exit, 0))

            assert stopper.settle() is None
        signal.signal(signal.SIGUSR1, before)


def test_a_flow_that_answers_our_own_stop_with_an_exit_has_our_reason(end: End) -> None:
    """The signal is ours then, and so is the word for it."""
    with end.stopper() as stopper:
        stopped_by(
            stopper,
            answering(0),
            partial(stopper.stop, cause_of("DeadlineExceeded", "too long")),
            partial(time.sleep, 0),
        )

        assert stopper.settle() == cause_of("DeadlineExceeded", "too long")


def test_a_flow_that_dies_of_sigterm_is_reported_first(end: End) -> None:
    """Its own wish, but not without a word."""
    with end.stopper() as stopper:
        assert not stopped_by(
            stopper,
            partial(signal.signal, signal.SIGTERM, signal.SIG_DFL),
            partial(stopper.stop, cause_of("Cancelled", "x")),
            partial(end.forced.wait, 10),
        )

    assert (end.words, end.codes) == ([("Cancelled", 0.5)], [143])


def test_a_forked_process_has_its_own_signals(end: End) -> None:
    """multiprocessing ends its children with SIGTERM; that is not the end of the run."""
    with end.stopper() as stopper:
        child = os.fork()
        if child == 0:
            try:
                stopper.guard(kill)
            finally:
                os._exit(99)
        _, status = os.waitpid(child, 0)

    assert os.WTERMSIG(status) == signal.SIGTERM


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


def test_a_thread_hears_late_what_stops_it_or_never(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop that comes as the steps end is raised within ``guard``, not in whatever the thread does next."""
    sending, returned = threading.Event(), threading.Event()

    def send(thread: int, error: type[BaseException]) -> None:
        sending.set()
        returned.wait(0.3)  # as long as it takes, ``guard`` must not return
        raise_in(thread, error)

    monkeypatch.setattr(threaded, "raise_in", send)
    stopper = ThreadStopper(nothing, exit_now=nothing, grace=30, wake=nothing)
    stops = threading.Thread(target=stopper.stop, args=(Cause("Cancelled", "by a test", 143),))

    def steps() -> None:
        stops.start()
        sending.wait(30)

    with stopper:
        raised = stopper.guard(steps)
        returned.set()
        stops.join()  # Stopped would come here
    assert isinstance(raised, Stopped)


class Spins:
    """An object whose end an interruption ends."""

    def __init__(self, reached: threading.Event) -> None:
        self.reached = reached

    def __del__(self) -> None:
        self.reached.set()
        while True:
            pass


class Fails(Spins):
    """An object whose end fails in C, where no interruption is heard: Python tells of the failure first."""

    def __del__(self) -> None:
        self.reached.set()
        SimpleQueue[None]().get(timeout=0.5)


@pytest.mark.parametrize("kind", [Spins, Fails])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_thread_hears_again_what_python_has_dropped(kind: type[Spins]) -> None:
    """As in the main thread: an exception in a finalizer or a weak reference's callback is lost."""
    before = sys.unraisablehook
    reached, end = threading.Event(), time.monotonic() + 30

    def steps() -> None:
        kind(reached)
        while time.monotonic() < end:
            pass

    stopper = ThreadStopper(nothing, exit_now=nothing, grace=60, wake=nothing)
    cause = Cause("Cancelled", "by a test", 143)
    stops = threading.Thread(target=lambda: reached.wait(30) and stopper.stop(cause))
    stops.start()
    with stopper:
        raised = stopper.guard(steps)

    stops.join()
    assert isinstance(raised, Stopped)
    assert sys.unraisablehook == before

"""Rules of interruptions that Python loses: a wait that has not heard the signal, an exception that is dropped."""

import gc
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from dask_flows.run.cause import Cause, Stopped, cause_of
from dask_flows.run.letting_go import let_go
from dask_flows.run.waking import WAKE, Drops

from .stops import End, answering, kill, nothing, stopped_by

INTERRUPTED = Cause("Cancelled", "interrupted by SIGTERM", 143)


@pytest.fixture
def end() -> End:
    """A process that only pretends to end."""
    return End()


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What others hear of exceptions that Python drops."""
    dropped: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: dropped.append(str(one.exc_value)))
    return dropped


def unheard(until: threading.Event | None = None) -> None:
    """Wait for a lock; the signal comes meanwhile, and nothing tells the wait of it.

    As for one that comes just before the wait, a moment that no test can hit: another thread takes it.
    """
    taker = threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGTERM))
    taker.start()
    (until or threading.Event()).wait(30)


def test_a_wait_that_has_not_heard_the_signal_ends(end: End) -> None:
    """Python looks for signals before a wait for a lock and after it: ``result()`` is deaf for 10 s."""
    with end.stopper(grace=11.0) as stopper:
        assert stopped_by(stopper, unheard)

        assert stopper.settle() == INTERRUPTED
    assert end.codes == []


def test_what_wakes_is_no_second_signal(end: End) -> None:
    """A second one would end the clean-up."""
    cleaned: list[bool] = []

    def flow() -> None:
        try:
            unheard()
        finally:
            cleaned.append(not end.forced.wait(1.5))

    with end.stopper(grace=11.0) as stopper:
        assert stopped_by(stopper, flow)
    assert (cleaned, end.codes) == ([True], [])


def test_a_wait_of_a_flow_that_handles_sigterm_is_left_alone(end: End) -> None:
    """It has heard our stop by its own handler, and goes on if it likes."""
    reached: list[bool] = []
    with end.stopper() as stopper:
        stop = partial(stopper.stop, cause_of("Cancelled", "by spec.cancel"))
        waits = partial(threading.Event().wait, 1.5)
        assert not stopped_by(stopper, answering(), stop, waits, partial(reached.append, True))
    assert reached


@pytest.mark.parametrize("early", [True, False])
def test_others_keep_their_handler_and_hear_nothing_of_ours(end: End, early: bool) -> None:
    """Neither a program that had one nor a flow that takes one; what it sets stays."""
    heard: list[int] = []

    def takes() -> None:
        signal.signal(WAKE, lambda number, _: heard.append(number))

    waits = partial(unheard, end.forced)
    before = signal.getsignal(WAKE)
    try:
        if early:
            takes()
        with end.stopper(grace=3.0) as stopper:
            stopper.guard(waits if early else lambda: [takes(), waits()])
        signal.raise_signal(WAKE)
    finally:
        signal.signal(WAKE, before)
    assert heard == [WAKE]


def test_a_hook_of_the_flow_stays(end: End, dropped: list[str]) -> None:
    """Its program may go on with it."""
    own = dropped.append
    with end.stopper() as stopper:
        stopper.guard(partial(setattr, sys, "unraisablehook", own))

    assert sys.unraisablehook == own


def test_a_forked_process_hears_of_no_interruption(end: End) -> None:
    """Neither by what wakes its parent nor by what it drops itself."""
    codes: list[int] = []

    def forks() -> None:
        child = os.fork()
        if child:
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            return
        try:
            signal.raise_signal(WAKE)
            Raises()
            signal.raise_signal(WAKE)
        finally:
            os._exit(1 if isinstance(sys.exception(), Stopped) else 7)

    with end.stopper() as stopper:
        stop = partial(stopper.stop, cause_of("Cancelled", "by spec.cancel"))
        stopped_by(stopper, answering(), stop, forks)
    assert codes == [7]


class Finalized:
    """Is hit by a signal in its end."""

    def __del__(self) -> None:
        kill()


class Slow:
    """Needs longer for its end than anybody waits until the signal is told of in another way."""

    def __del__(self) -> None:
        try:
            kill()
        finally:
            time.sleep(0.7)


class Waits:
    """Is to be interrupted once more, and drops that, too."""

    def __init__(self) -> None:
        Finalized()

    def __del__(self) -> None:
        threading.Event().wait(30)


class Raises:
    """Raises in its end what ends a run."""

    def __del__(self) -> None:
        raise Stopped


def by_weak_reference() -> None:
    """Let go of an object whose end somebody watches."""
    gone = End()
    _watch = weakref.ref(gone, lambda _: kill())
    del gone


def by_collector() -> None:
    """Collect garbage while somebody watches that, as Dask does."""

    def collects(*_: Any) -> None:
        gc.callbacks.remove(collects)
        kill()

    gc.callbacks.append(collects)
    gc.collect()


@pytest.mark.parametrize("drops", [Finalized, Slow, Waits, by_weak_reference, by_collector])
def test_an_interruption_that_python_drops_comes_again(
    end: End, drops: Callable[[], None], dropped: list[str]
) -> None:
    """However long that took, and nobody sees a word of the first."""
    with end.stopper(grace=11.0) as stopper:
        assert stopped_by(stopper, drops, partial(threading.Event().wait, 30))

        assert stopper.settle() == INTERRUPTED
    assert (end.codes, dropped) == ([], [])


def test_an_interruption_of_who_tells_of_another_exception_comes_again(
    end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python calls nobody for what such a hook raises."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: kill())
    with end.stopper(grace=11.0) as stopper:
        assert stopped_by(
            stopper, lambda: HalfMade.__new__(HalfMade), partial(threading.Event().wait, 30)
        )
    assert end.codes == []


class Keeps:
    """Raises in its end what it was given."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __del__(self) -> None:
        raise self.error


def of_another_thread(_: BaseException) -> None:
    """Let another thread drop one."""
    thread = threading.Thread(target=Raises)
    thread.start()
    thread.join()


@pytest.mark.parametrize("disturbs", [Keeps, of_another_thread])
def test_an_interruption_that_was_delivered_does_not_come_again(
    end: End, disturbs: Callable[[BaseException], object]
) -> None:
    """The clean-up of the flow goes on, whatever is dropped meanwhile."""
    cleaned: list[bool] = []

    def flow() -> None:
        try:
            kill()
        except Stopped as stopped:
            disturbs(stopped)
            cleaned.append(not end.forced.wait(1.0))
            raise

    with end.stopper() as stopper:
        assert stopped_by(stopper, flow)
    assert cleaned == [True]


class Interrupted:
    """An object whose end is interrupted."""

    def __del__(self) -> None:
        raise Stopped


@pytest.mark.parametrize("first_to_close", [0, 1])
def test_two_runs_in_two_threads_hear_each_of_its_own(
    dropped: list[str], first_to_close: int
) -> None:
    """A run that does not stop is left behind, and the next one begins; no hook of either stays."""
    before = sys.unraisablehook
    heard: list[int] = []
    runs = [Drops(Stopped, partial(heard.append, number)) for number in range(2)]
    with ThreadPoolExecutor(1) as older, ThreadPoolExecutor(1) as newer:
        threads = [older, newer]
        for thread, run in zip(threads, runs, strict=True):
            thread.submit(run.open).result()
        for thread in threads:
            thread.submit(lambda: Interrupted() and None).result()
        assert heard == [0, 1]

        threads[first_to_close].submit(runs[first_to_close].close).result()
        for thread in threads:
            thread.submit(lambda: Interrupted() and None).result()
        assert heard == [0, 1, 1 - first_to_close]
        threads[1 - first_to_close].submit(runs[1 - first_to_close].close).result()

    assert sys.unraisablehook == before
    assert dropped == []


def test_after_the_steps_nothing_comes_again(end: End) -> None:
    """There is nobody to take it."""
    with end.stopper() as stopper:
        assert not stopped_by(stopper, nothing)
        Raises()
        kill()

        assert stopper.settle() == INTERRUPTED


class HalfMade:
    """Misses in its end what its making has not come to; so does asyncio's event loop."""

    def __init__(self, error: BaseException) -> None:
        raise error

    def __del__(self) -> None:
        raise AttributeError("never made")


def test_what_python_drops_of_others_is_told(end: End, dropped: list[str]) -> None:
    """To whoever was told before."""
    with end.stopper() as stopper:
        stopper.guard(lambda: HalfMade.__new__(HalfMade))
    assert dropped == ["never made"]


@pytest.mark.parametrize(("error", "told"), [(Stopped(), 0), (ValueError("the flow's own"), 1)])
def test_what_an_interruption_leaves_half_made_says_nothing(
    end: End, error: BaseException, told: int, dropped: list[str]
) -> None:
    """A flow that fails by itself keeps its errors."""
    with end.stopper() as stopper:
        raised = stopper.guard(partial(HalfMade, error))
    assert raised is error

    let_go(raised)

    assert dropped == ["never made"] * told


class Starts:
    """Misses what it was made for in a thread of its own."""

    def __init__(self) -> None:
        raise Stopped

    def __del__(self) -> None:
        thread = threading.Thread(target=lambda: HalfMade.__new__(HalfMade))
        thread.start()
        thread.join()


def test_what_other_threads_drop_meanwhile_is_told(end: End, dropped: list[str]) -> None:
    """They are the program's."""
    with end.stopper() as stopper:
        raised = stopper.guard(Starts)
    assert isinstance(raised, Stopped)

    let_go(raised)

    assert dropped == ["never made"]

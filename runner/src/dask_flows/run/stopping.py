"""End a run before its time: signals, deadlines, the agent's word, a lost scheduler.

All of them take one way: a cause is noted, once, and :class:`Stopped` is raised in the flow's thread, so that
its ``finally`` blocks run. Whatever the flow makes of that, the process is gone ``GRACE`` seconds
later; a second signal ends it at once. It never ends with exit code 0.

=========  =======================  ==================================  ===============================
state      the run                  first signal, or ``stop``           second signal, or the time is up
=========  =======================  ==================================  ===============================
RUNNING    goes through its steps   STOPPING; raises in ``guard`` only
STOPPING   cleans up                                                    FORCED
SETTLED    is shown, delivered and  a signal changes exit code 0;       the process ends
           closed                   ``stop`` does nothing
FORCED     has its last words from                                      the process ends
           the watchdog
=========  =======================  ==================================  ===============================

Each change is made under one lock, so either the main thread (SETTLED) or the watchdog (FORCED) tells how the
run ended, never both. ``Stopped`` reaches the steps once at most, and only while ``guard`` is open; every
instruction that can see it open lies inside of its ``try``, so it cannot get out. A handler only changes state and
wakes the watchdog through a queue made for that: it may have interrupted anybody who holds a lock. What Python does
not let through to the steps comes again, see :mod:`dask_flows.run.waking`.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Self

from dask_flows.run.bell import Bell
from dask_flows.run.cause import Cause, Stopped, interruption
from dask_flows.run.waking import WAKE, Waker

GRACE = 5.0  # seconds from the first word to the end of the process
LAST_WORDS = 1.0  # of them for the report that a forced end still makes
LAST_LINE = 0.5  # seconds for it if somebody is impatient
STUCK = 0.5  # seconds after which a signal counts although the main thread does not look
_IN_FLIGHT = 0.1  # seconds in which a signal of ours arrives

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _State(Enum):
    RUNNING, STOPPING, SETTLED, FORCED = range(4)


class _Word(Enum):
    """What the watchdog is told: end within the grace, close in time, end now, or that all is over."""

    GRACE, CLOSE, NOW, LEFT = range(4)


class Stopper:
    """Holds the cause; a context that owns the process's signals in the main thread.

    ``last_words`` must report a cause within so many seconds; then ``exit_now`` ends the process.
    """

    def __init__(
        self,
        last_words: Callable[[Cause, float], None],
        *,
        exit_now: Callable[[int], Any] = os._exit,
        grace: float = GRACE,
        close_seconds: float | None = None,
    ) -> None:
        self._last_words, self._exit_now = last_words, exit_now
        self._grace, self._close_seconds = grace, close_seconds
        self._lock = threading.RLock()  # a handler may interrupt its holder
        self._state = _State.RUNNING
        self._open = False  # Stopped may be raised
        self._inside = False  # of guard
        self._sent = False  # the next SIGTERM is the one that ``stop`` sent
        self._due: dict[int, int] = {}  # signals that the bell has told of before their handler ran
        self._ran: dict[int, int] = {}  # and the other way round
        self._heard = 0
        self._exit_code = 0
        self._before: dict[int, Any] = {}
        self._owner = (0, 0)  # process and thread whose signals are ours
        self._words: SimpleQueue[_Word] = SimpleQueue()
        self._bell = Bell(self._rings, STUCK)
        self._waker = Waker(Stopped, self._interrupt, self._again)
        self.cause: Cause | None = None

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="dask-flows-watchdog", daemon=True).start()
        if threading.current_thread() is threading.main_thread():
            self._owner = (os.getpid(), threading.get_ident())
            self._before = {number: signal.getsignal(number) for number in _SIGNALS}
            self._listen()
            self._bell.open()
            self._waker.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.settle()
        for _try in range(20):
            if not self._sent:
                break
            time.sleep(_IN_FLIGHT / 20)
        self._waker.close()
        self._bell.close()
        for number, handler in self._before.items():
            give_back(number, handler)
        self._words.put(_Word.LEFT)

    def guard(self, steps: Callable[[], None]) -> BaseException | None:
        """Go through the steps; returns what they raise, which may be Stopped, and raises nothing."""
        raised = None
        try:
            try:
                self._inside = self._open = True
                if self.cause is not None:
                    raise Stopped
                steps()
            finally:
                self._inside = self._open = False
        except BaseException as error:  # noqa: BLE001 - that is what it is for
            raised = error
            self._inside = False  # it may have come before the line above
        for _try in range(2):
            with suppress(BaseException):  # from a handler that the flow has set
                self._listen()
                break
        if isinstance(raised, SystemExit):
            self._exits()
        return raised

    def stop(self, cause: Cause) -> None:
        """Stop the run, from any thread; the first cause counts, and none after the end."""
        with self._lock:
            if not self._note(cause) or not self._before:
                return
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                self._words.put(_Word.NOW)  # the flow wants SIGTERM to end it
                return
            # By the signal itself, so that a flow that handles SIGTERM hears it as in any pod. To this
            # thread, because only there it interrupts what blocks; under the lock, because after
            # __exit__ it would hit somebody else.
            self._sent = True
            signal.pthread_kill(self._owner[1], signal.SIGTERM)

    def settle(self) -> Cause | None:
        """Say that the outcome is decided; returns the cause if one came first."""
        with self._lock:
            if self._state is not _State.FORCED:
                self._state = _State.SETTLED
                return self.cause
        threading.Event().wait(LAST_WORDS + LAST_LINE)  # the process ends before
        return self.cause

    def ends_with(self, exit_code: int) -> None:
        """Say what the outcome is."""
        with self._lock:
            self._exit_code = exit_code or self._exit_code

    def closing(self) -> None:
        """Say that the outcome is delivered; from here the closing has its time."""
        if self.cause is None and self._close_seconds is not None:
            self.close_in_time()

    def close_in_time(self) -> None:
        """Give the closing its time from now on, whatever came before; a signal ends the wait."""
        self._words.put(_Word.CLOSE)

    @property
    def exit_code(self) -> int:
        """The code to end with: of the first cause, never 0 after a signal."""
        return self.cause.exit_code if self.cause is not None else self._exit_code

    def _exits(self) -> None:
        """Take SIGTERM for the cause: a handler of the flow's own may have answered it with sys.exit."""
        if os.getpid() == self._owner[0] and self._bell.heard(signal.SIGTERM):
            with self._lock:
                self._note(interruption(signal.SIGTERM))

    def _listen(self) -> None:
        for number in self._before:
            signal.signal(number, self._handle)

    def _note(self, cause: Cause) -> bool:
        if self._state is not _State.RUNNING:
            return False
        self._state, self.cause = _State.STOPPING, cause
        self._words.put(_Word.GRACE)
        return True

    def _handle(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._owner[0]:
            _as_untouched(number)
            return
        with self._lock:
            self._count(number, self._ran, self._due)
        self._interrupt()

    def _interrupt(self) -> None:
        """Raise Stopped where it is due, in the main thread."""
        with self._lock:
            raises = self._open and self.cause is not None
            if raises:
                self._open = False
        if raises:
            raise Stopped

    def _again(self) -> None:
        """Let Stopped be raised once more, a little later."""
        if self._inside:
            self._bell.ring(WAKE)
            self._open = True  # last: what is raised before the caller has returned is dropped, too

    def _rings(self, number: int) -> None:
        """Take a signal that no handler has run for: main thread in C, or two that came as one.

        The main thread is woken until it has raised: what wakes it rings in its turn.
        """
        with self._lock:
            if number != WAKE:
                if signal.getsignal(number) != self._handle:
                    return  # the flow's own handler takes it
                self._count(number, self._due, self._ran)
            waits = self._open and self.cause is not None
        if waits:
            self._waker.wake()

    def _count(self, number: int, here: dict[int, int], there: dict[int, int]) -> None:
        """Hear each signal once, from whoever of handler and bell tells of it first."""
        if there.get(number, 0):
            there[number] -= 1
            return
        here[number] = here.get(number, 0) + 1
        if self._sent and number == signal.SIGTERM:
            self._sent = False
        else:
            self._hear(number)

    def _hear(self, number: int) -> None:
        self._heard += 1
        cause = interruption(number)
        if self._heard > 1:
            self._words.put(_Word.NOW)
        elif not self._note(cause) and not self.cause:
            self._exit_code = self._exit_code or cause.exit_code
            self._words.put(_Word.GRACE)

    def _watch(self) -> None:
        """Wait for words, and end the process when the time is up."""
        waits = {_Word.GRACE: self._grace - LAST_WORDS, _Word.CLOSE: self._close_seconds}
        seconds: float | None = None
        word = None
        while word is not _Word.NOW:
            word = self._told_within(seconds)
            if word is _Word.LEFT:
                return
            if word is None:
                break
            seconds = waits.get(word)
        self._force(LAST_LINE if word is _Word.NOW else LAST_WORDS)

    def _force(self, seconds: float) -> None:
        with self._lock:
            mine = self._state is _State.STOPPING
            if mine:
                self._state = _State.FORCED
        if mine and self.cause is not None:
            # In a thread, because it may meet a lock that nobody releases or a pipe that nobody reads.
            args = (self.cause, seconds)
            words = threading.Thread(target=self._last_words, args=args, daemon=True)
            words.start()
            words.join(seconds)
        elif self._told_within(seconds) is _Word.LEFT:
            return
        self._exit_now(self.exit_code)

    def _told_within(self, seconds: float | None) -> _Word | None:
        try:
            return self._words.get(timeout=seconds)
        except Empty:
            return None


def give_back(number: int, handler: Any) -> None:
    """Set the handler of before; None was not set by Python, and cannot be set again."""
    if handler is not None:
        signal.signal(number, handler)


def _as_untouched(number: int) -> None:
    """Do what a signal does to a program without us: this is a process that the flow has forked."""
    default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    signal.signal(number, default)
    signal.raise_signal(number)

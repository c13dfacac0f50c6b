"""See to it that an exception that comes from outside arrives in the thread it is for.

On a busy machine Python loses it in two ways:

- A signal that comes between the interpreter's last look and its wait for a lock is seen when the wait is
  over; ``Future.result`` waits for 10 s at a time. Another signal ends the wait.
- What is raised in a ``__del__``, or in a callback of a weak reference or of the garbage collector, is
  dropped (``sys.unraisablehook``). It must be raised once more.
"""

import ctypes
import inspect
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, cast

# Nothing happens by it to a process that runs and has no handler. Go takes SIGURG, the other one of this kind,
# in every library that is written in it.
WAKE = signal.SIGCONT
_NOBODY = (0, 0)  # no process and no thread


class Drops:
    """Hears of the ``error`` that Python drops in one thread; opened and closed there.

    ``again`` is told, with the thread anywhere, so it must take no lock. Several may be open at once, each in
    its thread: a run that does not stop is left behind, and the next one begins.
    """

    def __init__(self, error: type[BaseException], again: Callable[[], None]) -> None:
        self._error, self._again = error, again
        self._owner = _NOBODY
        # Through C, because Python reports to this hook, too, what is raised before its first line.
        self._hook = cast("Any", ctypes.PYFUNCTYPE(None, ctypes.py_object)(self._take))
        self._hook.drops = self
        self.below: Callable[[Any], Any] = sys.unraisablehook

    def open(self) -> None:
        """Begin to hear."""
        self._owner = _here()
        self.below, sys.unraisablehook = sys.unraisablehook, self._hook

    def close(self) -> None:
        """Leave everything as it was, but for what others have put in its place."""
        self._owner = _NOBODY
        while (top := _behind(sys.unraisablehook)) is not None and top.closed:
            sys.unraisablehook = top.below

    @property
    def closed(self) -> bool:
        """Whether it hears nothing."""
        return self._owner == _NOBODY

    def _take(self, unraisable: Any) -> None:
        try:
            if not isinstance(unraisable.exc_value, self._error):
                self.below(unraisable)
                return
        except self._error:  # it came while somebody told of another exception
            pass
        else:
            if _was_delivered(unraisable):
                return
        if _here() == self._owner:
            self._again()
        elif _behind(self.below) is not None:
            self.below(unraisable)


def _behind(hook: Any) -> Drops | None:
    """Return whose hook it is; None if it is somebody else's."""
    drops = getattr(hook, "drops", None)
    return drops if isinstance(drops, Drops) else None


class Waker:
    """Wakes the main thread and hears what it drops; opened and closed there.

    ``interrupt`` may raise the ``error``; ``again`` is told that it was dropped. A program with a handler of
    its own for ``WAKE`` keeps it, and is not woken.
    """

    def __init__(
        self,
        error: type[BaseException],
        interrupt: Callable[[], None],
        again: Callable[[], None],
    ) -> None:
        self._interrupt, self._drops = interrupt, Drops(error, again)
        self._owner = _NOBODY

    def open(self) -> None:
        """Begin to hear."""
        self._owner = _here()
        self._drops.open()
        if signal.getsignal(WAKE) is signal.SIG_DFL:
            signal.signal(WAKE, self._woken)

    def wake(self) -> None:
        """Let the main thread look, from any thread; nothing happens when this is closed."""
        _, thread = self._owner
        if thread and signal.getsignal(WAKE) == self._woken:
            signal.pthread_kill(thread, WAKE)

    def close(self) -> None:
        """Leave everything as it was, but for what others have put in its place."""
        if signal.getsignal(WAKE) == self._woken:
            signal.signal(WAKE, signal.SIG_DFL)
        self._drops.close()
        self._owner = _NOBODY

    def _woken(self, _number: int, _frame: FrameType | None) -> None:
        if _here() == self._owner:
            self._interrupt()


def _here() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def _was_delivered(unraisable: Any) -> bool:
    """Whether it had left the finalizer's frames: somebody keeps the exception and raises it again."""
    # From here, because without a frame walk_stack skips four, and comprehensions have none since Python 3.12.
    running = {frame for frame, _ in traceback.walk_stack(inspect.currentframe())}
    return any(frame in running for frame, _ in traceback.walk_tb(unraisable.exc_traceback))

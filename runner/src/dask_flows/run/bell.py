"""Hear of signals while the main thread is in C code that does not return.

Python runs handlers in the main thread, between two of its instructions. What C notes of a signal also goes
into a pipe; a thread reads it there.
"""

import os
import signal
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress

_MARK = 0  # no signal has this number
_READ_SECONDS = 1.0  # in which the thread has read what came before a mark


class Bell:
    """Passes each signal's number on, some time (s) after it came; opened and closed in the main thread."""

    def __init__(self, tell: Callable[[int], None], seconds: float) -> None:
        self._tell, self._seconds = tell, seconds
        self._write, self._before = -1, -1
        self._came: set[int] = set()
        self._read_up = threading.Event()

    def open(self) -> None:
        """Begin to listen."""
        read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        _open.add(self)
        thread = threading.Thread(target=self._listen, args=(read,), name="dask-flows-bell")
        thread.daemon = True
        thread.start()

    def heard(self, number: int) -> bool:
        """Whether this signal has come since, whoever has handled it."""
        if self._write < 0:
            return False
        self._read_up.clear()
        self.ring(_MARK)
        self._read_up.wait(_READ_SECONDS)
        return number in self._came

    def ring(self, number: int) -> None:
        """Pass a number on as if its signal came now; takes no lock, so it may interrupt anybody."""
        with suppress(BlockingIOError):  # full of signals
            os.write(self._write, bytes([number]))

    def close(self) -> None:
        """Listen no more."""
        if self._write < 0:
            return
        now = signal.set_wakeup_fd(self._before)
        if now not in (self._write, -1):
            signal.set_wakeup_fd(now)  # somebody else's, who came later
        os.close(self._write)
        self._write = -1
        _open.discard(self)
        self._tell = _nobody  # a timer of a late signal must not hold the run

    def forget(self) -> None:
        """Leave the pipe to the parent: signals of a forked process are its own."""
        if self._write >= 0 and (now := signal.set_wakeup_fd(-1)) not in (self._write, -1):
            signal.set_wakeup_fd(now)

    def _listen(self, read: int) -> None:
        while numbers := os.read(read, 64):
            for number in numbers:
                if number == _MARK:
                    self._read_up.set()
                    continue
                self._came.add(number)
                timer = threading.Timer(self._seconds, lambda n=number: self._tell(n))
                timer.daemon = True
                timer.start()
        os.close(read)


def _nobody(_: int) -> None:
    """Hear nothing."""


def _forget() -> None:
    for bell in list(_open):
        bell.forget()


_open: weakref.WeakSet[Bell] = weakref.WeakSet()
# Once, because it cannot be undone: what it knows stays for ever.
os.register_at_fork(after_in_child=_forget)

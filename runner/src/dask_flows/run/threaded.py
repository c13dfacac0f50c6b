"""Stop a run in a thread: there are no signals there, but another thread may ask Python to raise."""

import ctypes
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Self

from dask_flows.run.cause import Cause, Stopped
from dask_flows.run.host import LastWords, Patient
from dask_flows.run.stopping import STUCK
from dask_flows.run.waking import Drops


class ThreadStopper(Patient):
    """Raises Stopped in the thread that runs the flow, which has no signals."""

    def __init__(
        self,
        last_words: LastWords,
        *,
        exit_now: Callable[[int], Any],
        grace: float,
        wake: Callable[[], None],
    ) -> None:
        super().__init__(last_words, exit_now=exit_now, grace=grace)
        self._wake_up = wake
        self._ident = 0
        self._dropped: SimpleQueue[None] = SimpleQueue()
        self._left = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._insist, name="dask-flows-insists", daemon=True).start()
        return super().__enter__()

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self._left.set()
        self._dropped.put(None)

    def guard(self, steps: Callable[[], None]) -> BaseException | None:
        """Go through the steps in this thread; returns what they raise."""
        self._ident = threading.get_ident()
        drops = Drops(Stopped, lambda: self._dropped.put(None))
        drops.open()
        try:
            raised = super().guard(steps)
            with self._lock:
                self._open = False  # from here on nothing is sent
            # What was sent comes now. To take it back is no way: in Python 3.11 the interpreter would look
            # for it for ever, and a debugger or a coverage tool stand still at its next call.
            for _ in range(2):
                pass
        except Stopped as late:
            return late
        finally:
            drops.close()
        return raised

    def stop(self, cause: Cause) -> None:
        """Stop the run, from any other thread."""
        super().stop(cause)
        with self._lock:
            if self.cause is not cause or not self._open:
                return
            self._open = False
            raise_in(self._ident, Stopped)
        self._wake_up()

    def _insist(self) -> None:
        """Raise Stopped once more when Python has dropped it, a moment later: not in the hook that says so."""
        while True:
            self._dropped.get()
            if self._left.wait(STUCK):
                return
            with self._lock:
                if not self._inside:
                    continue
                raise_in(self._ident, Stopped)
            self._wake_up()


def raise_in(thread: int, error: type[BaseException]) -> None:
    """Let a thread raise the next time that Python looks for signals in it."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))

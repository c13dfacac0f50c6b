"""The run's own deadline, which the agent may change while it runs."""

import threading

from dask_flows.deadline import Clock
from dask_flows.run.cause import cause_of
from dask_flows.run.stopping import Stopper


class Limit:
    """Stops the run when its time is up; counts from when it is made."""

    def __init__(self, stopper: Stopper, clock: Clock) -> None:
        self._stopper = stopper
        self._clock = clock
        self._begin = clock.monotonic()
        self._lock = threading.Lock()
        self._seconds: float | None = None
        self._timer: threading.Timer | None = None

    def set(self, seconds: float | None) -> None:
        """Let the run take so many seconds in all; None for as long as it likes."""
        with self._lock:
            if seconds == self._seconds:
                return
            self._seconds = seconds
            self._call_off()
            if seconds is not None:
                left = max(0.0, seconds - (self._clock.monotonic() - self._begin))
                self._timer = threading.Timer(left, self._expire, [seconds])
                self._timer.daemon = True
                self._timer.start()

    def end(self) -> None:
        """Count no more."""
        with self._lock:
            self._call_off()

    def _call_off(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self, seconds: float) -> None:
        self._stopper.stop(
            cause_of("DeadlineExceeded", f"the run took longer than its deadline of {seconds:g} s")
        )

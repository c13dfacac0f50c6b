"""Waiting: always for something named, always with a deadline."""

import time
from collections.abc import Callable
from typing import Protocol

from onenode.errors import ClusterError

INTERVAL_SECONDS = 0.1

# A probe returns nothing when the thing is there, else the reason why not.
Probe = Callable[[], str | None]


class Clock(Protocol):
    """Tell and pass time; tests bring their own."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


class SystemClock:
    """Use the machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float, /) -> None:
        time.sleep(seconds)


def wait_for(what: str, probe: Probe, seconds: float, clock: Clock) -> None:
    """Call the probe until it has no complaint.

    Raises ClusterError with the probe's last complaint after `seconds`.
    """
    end = clock.monotonic() + seconds
    while complaint := probe():
        if clock.monotonic() >= end:
            raise ClusterError(f"{what} is not ready after {seconds:.0f} s: {complaint}")
        clock.sleep(INTERVAL_SECONDS)

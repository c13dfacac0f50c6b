"""Preload for Dask schedulers: ``dask scheduler --preload dask_flows.clusters.scheduler_preload``."""

from typing import Any

from dask_flows.clusters.late_dashboard import offer
from dask_flows.clusters.pulse import Pulse, start_pulse

_pulses: dict[str, Pulse] = {}  # by scheduler: Dask hands nothing from setup to teardown


def dask_setup(scheduler: Any) -> None:
    """Prepare a scheduler; Dask calls this when it has begun to listen."""
    offer(scheduler)
    pulse = start_pulse(scheduler)
    if pulse is not None:
        _pulses[scheduler.id] = pulse


def dask_teardown(scheduler: Any) -> None:
    """Give back what was taken."""
    pulse = _pulses.pop(scheduler.id, None)
    if pulse is not None:
        pulse.close()

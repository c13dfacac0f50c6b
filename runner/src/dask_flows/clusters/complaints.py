"""Bring what workers complain of, memory above all, to the run that has the cluster to itself.

Such records carry no run's tag, so runs on a shared cluster refuse them.
"""

import logging
from typing import Any

from dask_flows.clusters.output import LONGEST_LINE, TOPIC, Budget, display_name
from dask_flows.clusters.tags import current_task
from dask_flows.deadline import Clock, SystemClock

LOGGER = "distributed.worker"
NAMES = (LOGGER, f"{LOGGER}.memory")
PER_SECOND, BURST = 1.0, 20.0  # of records


class Complaints(logging.Handler):
    """Sends a worker's warnings and errors as events, not too many."""

    def __init__(self, worker: Any, clock: Clock) -> None:
        super().__init__(logging.WARNING)
        self.worker = worker
        self._budget = Budget(PER_SECOND, BURST, clock)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record, but for what the run shows anyway: failures of tasks, and what tasks write."""
        if record.name not in NAMES or not told_nowhere_else(record) or current_task() is not None:
            return
        dropped = self._budget.take()
        if dropped is None:
            return
        try:
            first = record.getMessage().partition("\n")[0]
            text = f"{record.name} - {record.levelname} - {first}"[:LONGEST_LINE]
            name = display_name(self.worker.name)
            event = {"name": name, "tag": None, "stream": "stderr", "text": text}
            self.worker.log_event(TOPIC, {**event, "dropped": dropped})
        except Exception:  # noqa: BLE001 - a worker goes on, whatever becomes of its complaint
            self.handleError(record)


def told_nowhere_else(record: logging.LogRecord) -> bool:
    """Whether the run does not show it as a traceback."""
    return not str(record.msg).startswith("Compute Failed")


def forward(worker: Any) -> None:
    """Begin to send a worker's complaints, once."""
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(one, Complaints) and one.worker is worker for one in logger.handlers):
        logger.addHandler(Complaints(worker, SystemClock()))


def keep(worker: Any) -> None:
    """Send them no more."""
    logger = logging.getLogger(LOGGER)
    for one in [*logger.handlers]:
        if isinstance(one, Complaints) and one.worker is worker:
            logger.removeHandler(one)

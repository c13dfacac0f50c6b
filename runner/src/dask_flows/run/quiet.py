"""Keep Dask's own log out of a run's: what it would say, the run says in its own words."""

import logging
import warnings

from dask_flows.run.cause import Stopped

# A lost connection is reported by the watch over the scheduler; a failed task by its traceback.
_SILENT = (
    "distributed.client",
    "distributed.comm",
    "distributed.core",
    "distributed.shuffle",
    "tornado.application",
)
# Of a local cluster, whose scheduler and nannies log in this process: a worker that was ended is named with
# its task, and so is a task that no worker could do.
_NANNIES = ("distributed.nanny", "distributed.nanny.memory")
_TOLD_ELSEWHERE = ("Task %s marked as failed", "Removing worker ")


def quiet() -> None:
    """Silence the loggers that repeat what the run says itself."""
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in _NANNIES:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("distributed.scheduler").addFilter(_not_told_elsewhere)
    logging.getLogger("asyncio").addFilter(_no_interruption)
    # One whose start was interrupted: its processes end with this one.
    warnings.filterwarnings("ignore", message="unclosed cluster", category=ResourceWarning)


def _not_told_elsewhere(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_TOLD_ELSEWHERE)


def _no_interruption(record: logging.LogRecord) -> bool:
    """Drop what asyncio says of a task that the end of the run has interrupted: nobody waits for it."""
    return not (record.exc_info and isinstance(record.exc_info[1], Stopped))

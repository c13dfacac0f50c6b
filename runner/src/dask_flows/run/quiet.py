"""Keep Dask's own log out of a run's: what it would say, the run says in its own words."""

import logging

# A lost connection is reported by the watch over the scheduler; a failed task by its traceback.
_SILENT = (
    "distributed.client",
    "distributed.comm",
    "distributed.core",
    "distributed.shuffle",
    "tornado.application",
)


def quiet() -> None:
    """Silence the loggers that repeat what the run says itself."""
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)

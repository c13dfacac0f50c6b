"""Dask's settings while a flow runs: ``Client()`` without arguments means the run's cluster."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import dask
from dask.config import serialize

from dask_flows.clusters.base import Wanted
from dask_flows.clusters.tags import PRELOAD_TEXT, QUIET, TAG_KEY, tag_new_clients
from dask_flows.exporting import exported
from dask_flows.modules import watched

ADDRESS_KEY = "scheduler-address"


@contextmanager
def defaults(wanted: Wanted) -> Iterator[Callable[[str], AbstractContextManager[None]]]:
    """Set the defaults, and put everything back; yields what takes the address once it is known."""
    preload = dask.config.get("distributed.client.preload", default=None) or []
    address = dask.config.get(ADDRESS_KEY, default=None)
    # Leaving the context restores what it names, also what is set again meanwhile.
    with dask.config.set(
        {TAG_KEY: wanted.tag, "distributed.client.preload": list(preload), ADDRESS_KEY: address}
    ):
        tag_new_clients()
        yield lambda address: _use(address, wanted)


@contextmanager
def _use(address: str, wanted: Wanted) -> Iterator[None]:
    """Let ``Client()`` mean this scheduler, in the processes that the flow starts, too."""
    dask.config.set({ADDRESS_KEY: address})
    with exported(child_environment(address, wanted)):
        yield


def child_environment(address: str, wanted: Wanted) -> dict[str, str]:
    """Return the variables that make a child process's ``Client()`` use this cluster.

    Its own modules travel as the flow's do, but for those in folders that workers import from.
    """
    roots = [os.fspath(origin.root) for origin in watched()]
    known = [] if wanted.remote else [str(Path(folder).absolute()) for folder in sys.path]
    settings: dict[str, Any] = {
        ADDRESS_KEY: address,
        "dask-flows": {"tag": wanted.tag, "modules": {"roots": roots, "known": known}},
        "distributed": {"client": {"preload": [PRELOAD_TEXT]}},
        "logging": QUIET,
    }
    return {
        "DASK_SCHEDULER_ADDRESS": address,
        # Dask's own way to hand settings to child processes.
        "DASK_INTERNAL_INHERIT_CONFIG": serialize(settings),
    }

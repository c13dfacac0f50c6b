"""Dask's settings while a flow runs: ``Client()`` without arguments means the run's cluster."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import dask
from dask.config import serialize

from dask_flows.clusters.base import Attached, Wanted
from dask_flows.clusters.certificates import settings_of
from dask_flows.clusters.settings import with_settings
from dask_flows.clusters.tags import PRELOAD, PRELOAD_TEXT, QUIET, TAG_KEY, tag_new_clients
from dask_flows.exporting import exported
from dask_flows.layers import UNCHANGED
from dask_flows.modules import watched

ADDRESS_KEY = "scheduler-address"
PRELOAD_KEY = "distributed.client.preload"
CLIENT_KEY = "scheduler"  # set by each client, and put back as if clients closed in reverse order


@contextmanager
def defaults(wanted: Wanted) -> Iterator[Callable[[Attached], AbstractContextManager[None]]]:
    """Set the defaults, and put everything back; yields what takes the cluster once it is there."""
    others = [p for p in dask.config.get(PRELOAD_KEY, default=None) or [] if p != PRELOAD]
    settings = {
        TAG_KEY: wanted.tag,
        PRELOAD_KEY: [*others, PRELOAD],
        ADDRESS_KEY: UNCHANGED,
        CLIENT_KEY: UNCHANGED,
    }
    with with_settings(settings):
        tag_new_clients()
        yield lambda attached: _use(attached, wanted)


@contextmanager
def _use(attached: Attached, wanted: Wanted) -> Iterator[None]:
    """Let ``Client()`` mean this scheduler, in the processes that the flow starts, too."""
    settings = {
        ADDRESS_KEY: attached.address,
        CLIENT_KEY: dask.config.get(CLIENT_KEY, default=UNCHANGED),
        **settings_of(attached.client.security),
    }
    with with_settings(settings), exported(child_environment(attached.address, wanted)):
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

"""Dask's settings while a flow runs: ``Client()`` without arguments means the run's cluster."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dask
from dask.config import serialize

from dask_flows.clusters.tags import PRELOAD_TEXT, QUIET, TAG_KEY, tag_new_clients

ADDRESS_KEY = "scheduler-address"


def use_address(address: str) -> None:
    """Let ``Client()`` mean this scheduler."""
    dask.config.set({ADDRESS_KEY: address})


@contextmanager
def defaults(tag: str) -> Iterator[Callable[[str], None]]:
    """Set the defaults, and put everything back; yields what takes the address once it is known."""
    preload = dask.config.get("distributed.client.preload", default=None) or []
    address = dask.config.get(ADDRESS_KEY, default=None)
    # Leaving the context restores what it names, also what is set again meanwhile.
    with dask.config.set(
        {TAG_KEY: tag, "distributed.client.preload": list(preload), ADDRESS_KEY: address}
    ):
        tag_new_clients()
        yield use_address


def child_environment(address: str, tag: str) -> dict[str, str]:
    """Return the variables that make a child process's ``Client()`` use this cluster."""
    settings: dict[str, Any] = {
        ADDRESS_KEY: address,
        "dask-flows": {"tag": tag},
        "distributed": {"client": {"preload": [PRELOAD_TEXT]}},
        "logging": QUIET,
    }
    return {
        "DASK_SCHEDULER_ADDRESS": address,
        # Dask's own way to hand settings to child processes.
        "DASK_INTERNAL_INHERIT_CONFIG": serialize(settings),
    }

"""Preload for Dask clients: their tasks carry their run's tag, and a child process's modules travel."""

from typing import Any

from dask_flows.clusters.children import equip, leave
from dask_flows.clusters.tags import tag_client


async def dask_setup(client: Any) -> None:
    """Prepare a new client; Dask calls this for each, on its event loop."""
    tag_client(client)
    await equip(client)


async def dask_teardown(client: Any) -> None:
    """Take back what the client gave to the workers; Dask calls this before the client closes."""
    await leave(client)

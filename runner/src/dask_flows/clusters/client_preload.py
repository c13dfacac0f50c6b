"""Preload for Dask clients: they tag their tasks with the run they belong to."""

from typing import Any

from dask_flows.clusters.tags import tag_client


def dask_setup(client: Any) -> None:
    """Tag what the client sends; Dask calls this for each new client."""
    tag_client(client)

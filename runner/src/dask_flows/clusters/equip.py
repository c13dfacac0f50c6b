"""Teach workers that were started without our preload to send output to its run."""

from typing import Any

from distributed import WorkerPlugin

from dask_flows.clusters.output import install
from dask_flows.clusters.tags import tag_new_clients


class Equip(WorkerPlugin):
    """Does what the preload does about output; a worker that has it already stays as it is."""

    name = "dask-flows-output"

    def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
        """Prepare one worker."""
        install(echo=True)
        tag_new_clients()

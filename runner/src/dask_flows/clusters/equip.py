"""Teach workers that were started without our preload to send output to its run."""

import os
import socket
from typing import Any

from distributed import WorkerPlugin

from dask_flows.clusters.output import install
from dask_flows.clusters.tags import tag_new_clients


class Equip(WorkerPlugin):
    """Does what the preload does about output; a worker that has it already stays as it is.

    Workers that share our terminal, because we have started them, write nothing twice; those in our own
    process write to our streams as they are.
    """

    name = "dask-flows-output"

    def __init__(self) -> None:
        self._home = (socket.gethostname(), os.getpid())

    def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
        """Prepare one worker."""
        host = socket.gethostname()
        if self._home != (host, os.getpid()):
            install(echo=self._home != (host, os.getppid()))
        tag_new_clients()

"""A shared cluster that somebody else keeps: the chart's, or any scheduler with an address."""

from collections.abc import Iterator
from contextlib import contextmanager

from dask_flows.clusters.base import Attached, Say, Wanted
from dask_flows.clusters.connect import full_address, open_client, wait_for_workers
from dask_flows.deadline import Deadline

# A Deployment replaces a lost scheduler within this time; futures are lost either way.
PATIENCE = 30.0
CLOSE_SECONDS = 2.0


class Static:
    """Connect to a scheduler that outlives the run."""

    patience = PATIENCE

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    @contextmanager
    def attached(self, deadline: Deadline, say: Say) -> Iterator[Attached]:
        """Connect, wait for the minimum of workers; raises ClusterTimeout."""
        wanted = self._wanted
        address = full_address(wanted.address or "")
        link = f", dashboard {wanted.dashboard}" if wanted.dashboard else ""
        say(
            f"cluster {wanted.mode} at {address}{wanted.told_origin}{link}",
            mode=wanted.mode,
            address=address,
            origin=wanted.origin,
            dashboard=wanted.dashboard,
        )
        client = open_client(
            address, deadline, patience=self.patience, options=wanted.client_kwargs
        )
        try:
            say(f"scheduler ready in {deadline.elapsed:.1f} s", seconds=round(deadline.elapsed, 2))
            wait_for_workers(client, wanted.minimum, deadline, say)
            yield Attached(client, address, wanted.dashboard, self.patience)
        finally:
            client.close(timeout=CLOSE_SECONDS)

"""Clusters: the one place that decides about the mode.

A run asks with :class:`Wanted` and gets a :class:`Session`; nothing outside this package knows what kind of
cluster it is on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dask_flows.clusters.base import Attached, Cluster, Hear, Say, Scaling, Tasks, Wanted
from dask_flows.errors import UsageError

if TYPE_CHECKING:
    from dask_flows.clusters.session import Session
    from dask_flows.deadline import Clock, Deadline

__all__ = [
    "Attached", "Cluster", "Hear", "Say", "Scaling", "Tasks", "Wanted", "attach", "choose",
]  # fmt: skip


def choose(mode: str | None, address: str | None, environment: str) -> tuple[str, str | None]:
    """Return mode and address: a flag wins over DASK_SCHEDULER_ADDRESS, which wins over local."""
    if mode == "local":
        if address:
            raise UsageError(
                f"mode local needs no address, but there is {address}",
                where="--address",
                do="leave out one of --mode and --address",
            )
        return "local", None
    address = address or environment or None
    if address:
        return mode or "static", address
    if mode is None:
        return "local", None
    raise UsageError(
        f"mode {mode} needs the address of a scheduler",
        where="--mode",
        do="add --address tcp://host:8786, or use dask-flows submit to run it in the cluster",
    )


@contextmanager
def attach(
    wanted: Wanted, *, deadline: "Deadline", clock: "Clock", say: Say, hear: Hear
) -> Iterator["Session"]:
    """Give a run its cluster; raises ClusterTimeout if it is not ready by the deadline."""
    from dask_flows.clusters.defaults import defaults
    from dask_flows.clusters.pickling import by_value
    from dask_flows.clusters.session import Session

    with (
        by_value(),
        defaults(wanted.tag) as use_address,
        _cluster(wanted).attached(deadline, say) as attached,
    ):
        use_address(attached.address)
        session = Session(wanted, attached, hear, clock)
        session.open()
        yield session


def _cluster(wanted: Wanted) -> Cluster:
    if wanted.mode == "local":
        from dask_flows.clusters.local import Local

        return Local(wanted)
    if wanted.mode == "ephemeral":
        from dask_flows.clusters.ephemeral import Ephemeral

        return Ephemeral(wanted)
    from dask_flows.clusters.static import Static

    return Static(wanted)

"""Give a run its cluster: the one place that decides about the mode.

A run asks with :class:`Wanted` and gets a :class:`Session`; nothing outside this package knows what kind of
cluster it is on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dask_flows.clusters.base import Cluster, Hear, Say, Wanted

if TYPE_CHECKING:
    from dask_flows.clusters.session import Session
    from dask_flows.deadline import Clock, Deadline


@contextmanager
def attach(
    wanted: Wanted, *, deadline: "Deadline", clock: "Clock", say: Say, hear: Hear
) -> Iterator["Session"]:
    """Give a run its cluster; raises ClusterTimeout if it is not ready by the deadline."""
    from dask_flows.clusters.defaults import defaults
    from dask_flows.clusters.lacking import Lacking
    from dask_flows.clusters.pickling import by_value
    from dask_flows.clusters.session import Session
    from dask_flows.clusters.sources import sent
    from dask_flows.clusters.tags import tell_untagged
    from dask_flows.clusters.versions import told_by_us

    with (
        told_by_us(),
        by_value(),
        defaults(wanted) as used,
        _cluster(wanted).attached(deadline, say) as attached,
        used(attached),
    ):
        session = Session(wanted, attached, hear, clock)
        lacking = Lacking(attached.address)
        session.open(lacking)
        with sent(session.client, wanted.tag, say, lacking):
            lacking.tell(say)
            tell_untagged(session.client, say)
            yield session


def _cluster(wanted: Wanted) -> Cluster:
    if wanted.mode == "local":
        from dask_flows.clusters.local import Local

        return Local(wanted)
    if wanted.mode == "class":
        from dask_flows.clusters.custom import Custom

        return Custom(wanted)
    if wanted.mode == "ephemeral":
        from dask_flows.clusters.ephemeral import Ephemeral

        return Ephemeral(wanted)
    from dask_flows.clusters.static import Static

    return Static(wanted)

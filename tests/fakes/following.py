"""The real client and the real informer at work on a server, over real sockets.

Time-outs and pauses are parameters, and small here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from dask_flows.deadline import SystemClock
from dask_flows.kube.client import KubeClient, Patience
from dask_flows.kube.informer import Informer
from dask_flows.kube.resources import PODS
from dask_flows.kube.rhythm import Rhythm
from fakes.hostile import (
    Hostile,
    client_of,
)

QUICK = Patience(connect=1.0, answer=0.5, silence=0.4)
RHYTHM = Rhythm(first_pause=0.02, longest_pause=0.1, settled=0.3, relist=600, listing=5)

Change = tuple[str, str | None, str | None]


class Follower:
    """An informer at work, and what it has told."""

    def __init__(self, client: KubeClient, rhythm: Rhythm = RHYTHM) -> None:
        self.changes: list[Change] = []
        self.informer = Informer(
            client, PODS, "ns", lambda obj: str(obj["mark"]), clock=SystemClock(), rhythm=rhythm
        )
        self.informer.subscribe(lambda *change: self.changes.append(change))
        self.task = asyncio.create_task(self.informer.run())

    def holds(self, **marks: str) -> bool:
        """Whether it holds exactly these objects."""
        return {n: self.informer.get(n) for n in self.informer.copies.names()} == marks

    async def stop(self) -> None:
        """End it."""
        assert not self.task.done(), "an informer never ends by itself"
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@asynccontextmanager
async def following(
    server: Hostile,
    rhythm: Rhythm = RHYTHM,
    *,
    synced: bool = True,
    patience: Patience = QUICK,
) -> AsyncIterator[Follower]:
    """Follow a server with everything real."""
    async with client_of(server, patience) as client:
        follower = Follower(client, rhythm)
        try:
            if synced:
                await asyncio.wait_for(follower.informer.synced.wait(), 10)
            yield follower
        finally:
            await follower.stop()

"""A run's time with its cluster: its client, its output, its counts, and whether the scheduler is there."""

from dataclasses import dataclass
from typing import Any

from dask_flows.clusters.base import Attached, Hear, Scaling, Tasks, Wanted
from dask_flows.clusters.connect import count_workers, rpc
from dask_flows.clusters.equip import Equip
from dask_flows.clusters.output import TOPIC, Receiver
from dask_flows.clusters.tally import HANDLER, Tally
from dask_flows.deadline import Clock
from dask_flows.errors import FlowFailed

LOST_REASON = "scheduler-connection-lost"
ECHOED = ("print", "warn")  # Dask's own topics: every client of a scheduler hears every run


@dataclass
class _Link:
    """What is known of the connection to the scheduler."""

    away_since: float | None = None
    gaps: int = 0


class Session:
    """What a run may ask about its cluster; safe to use from any thread."""

    def __init__(self, wanted: Wanted, attached: Attached, hear: Hear, clock: Clock) -> None:
        self.wanted = wanted
        self.attached = attached
        self.client: Any = attached.client
        self._receiver = Receiver(wanted.tag, hear, strict=wanted.shared)
        self._clock = clock
        self._link = _Link()
        self._counted = False

    def open(self) -> None:
        """Hear the workers, and count tasks where the scheduler lets us."""
        self._listen()
        try:
            self.client.register_plugin(Tally())
        except Exception:  # noqa: BLE001 - an outside scheduler may lack this package or refuse pickles
            self._counted = False
        else:
            self._counted = True
            if self.wanted.equip:
                self.client.register_plugin(Equip())

    def tasks(self) -> Tasks | None:
        """Return how far the run's tasks are; None if the scheduler does not count them."""
        counts = rpc(self.client, HANDLER, tag=self.wanted.tag) if self._counted else None
        if not isinstance(counts, dict):
            return None
        return Tasks(counts["done"], counts["total"], counts["failed"], dict(counts["workers"]))

    def workers(self) -> int | None:
        """Return how many workers there are; None if the scheduler does not say."""
        return count_workers(self.client)

    def scaling(self) -> Scaling | None:
        """Return the scheduler's wish, for a cluster that may grow and shrink."""
        if not self.wanted.elastic:
            return None
        wanted = rpc(self.client, "adaptive_target")
        idle = rpc(self.client, "workers_to_close", attribute="name")
        if wanted is None or idle is None:
            return None
        return Scaling(int(wanted), tuple(str(name) for name in idle))

    def look(self) -> str | None:
        """Look whether the scheduler is there; returns why it counts as lost, else None."""
        status, link = self.client.status, self._link
        now = self._clock.monotonic()
        if status == "running":
            if link.away_since is not None:
                link.away_since = None
                self._listen()  # a new scheduler knows nothing of us
            return None
        if link.away_since is None:
            link.away_since, link.gaps = now, link.gaps + 1
        away = now - link.away_since
        if status == "closed" or away >= self.attached.patience:
            return f"the scheduler at {self.attached.address} has not answered for {away:.0f} s"
        return None

    def blamed(self, error: BaseException) -> str | None:
        """Return why the lost scheduler explains an error that the flow raised; None if it does not."""
        from distributed.client import FutureCancelledError

        lost = self.look()
        cancelled = isinstance(error, FutureCancelledError)
        if cancelled and getattr(error, "reason", "") == LOST_REASON:
            return lost or f"the scheduler at {self.attached.address} went away"
        if self._link.gaps and (cancelled or isinstance(error, OSError | FlowFailed)):
            return lost or f"the scheduler at {self.attached.address} was away for a while"
        return None

    def _listen(self) -> None:
        self.client.subscribe_topic(TOPIC, self._receiver)
        for topic in ECHOED:
            self.client.unsubscribe_topic(topic)

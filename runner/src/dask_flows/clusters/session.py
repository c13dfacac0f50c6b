"""A run's time with its cluster: its client, its output, its counts, and whether the scheduler is there."""

import weakref
from typing import Any

from distributed.deploy.spec import SpecCluster

from dask_flows.clusters.base import Attached, Hear, Say, Scaling, Tasks, Wanted
from dask_flows.clusters.connect import RPC_SECONDS, count_workers, register, rpc
from dask_flows.clusters.equip import equip_all
from dask_flows.clusters.lacking import SCHEDULER, WORKERS, Lacking
from dask_flows.clusters.latecomers import Latecomers
from dask_flows.clusters.lookout import LOOK_SECONDS, TRIES, Lookout
from dask_flows.clusters.output import TOPIC, Receiver
from dask_flows.clusters.tally import HANDLER, Tally
from dask_flows.compatibility import Needs
from dask_flows.deadline import Clock
from dask_flows.errors import DaskFlowsError

ECHOED = ("print", "warn")  # Dask's own topics: every client of a scheduler hears every run


class Session:
    """What a run may ask about its cluster; safe to use from any thread."""

    def __init__(self, wanted: Wanted, attached: Attached, hear: Hear, clock: Clock) -> None:
        self.wanted = wanted
        self.attached = attached
        self.client: Any = attached.client
        self._receiver = Receiver(wanted.tag, hear, strict=wanted.shared)
        self.lookout = Lookout(wanted, attached, clock)
        self._counted = False
        self._latecomers: Latecomers | None = None
        self._resumes = 0  # how often to try yet
        self._there_before: weakref.WeakSet[Any] = weakref.WeakSet(_clusters_here())

    def open(self, lacking: Lacking) -> None:
        """Hear the workers, and count tasks where the scheduler lets us."""
        self._listen()
        try:
            self.client.register_plugin(Tally())
        except Exception as error:  # noqa: BLE001 - an outside scheduler may lack this package or refuse pickles
            self._counted = False
            lacking.note("tasks are not counted", SCHEDULER, error)
        else:
            self._counted = True
        if self.wanted.equip and (wrong := equip_all(self.client, lasting=self._counted)):
            lacking.note("worker output is not shown", WORKERS, wrong)
        self.lookout.open()

    def watch_latecomers(self, needs: Needs, say: Say) -> None:
        """Name workers that join from now on and do not fit, and keep them from tasks where that harms nobody."""
        self._latecomers = Latecomers(self.client, self.wanted, needs, say)
        self._latecomers.watch()

    def tasks(self) -> Tasks | None:
        """Return how far the run's tasks are; None if the scheduler does not count them."""
        counts = rpc(self.client, HANDLER, tag=self.wanted.tag) if self._counted else None
        if not isinstance(counts, dict):
            return None
        return Tasks(counts["done"], counts["total"], counts["failed"], dict(counts["workers"]))

    def made_by_flow(self) -> list[str]:
        """Return the classes of the clusters that were made in this process during the run."""
        made = (one for one in _clusters_here() if one not in self._there_before)
        return sorted({type(one).__name__ for one in made})

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

    def look(self, planned: float = LOOK_SECONDS) -> DaskFlowsError | None:
        """Look whether the scheduler is there; returns how it was lost, else None.

        ``planned`` is the most that should have passed since the last look (s).
        """
        away = self.lookout.away
        lost = self.lookout.look(planned)
        if away and not self.lookout.away:
            self._listen()  # a new scheduler knows nothing of us
            self._resumes = TRIES
        if self._resumes and lost is None and self.lookout.answers:
            self._resumes -= 1
            self._resume()
        return lost

    def blamed(self, error: BaseException) -> DaskFlowsError | None:
        """Return how a lost cluster explains an error that the flow raised; None if it does not."""
        return self.lookout.blamed(error)

    def _resume(self) -> None:
        """Give a scheduler that has come back what the last one had."""
        try:
            if self._counted:
                register(self.client, Tally(), RPC_SECONDS)
            self.lookout.reopen()
            if self._latecomers is not None:
                self._latecomers.resume()
        except Exception:  # noqa: BLE001 - it is tried again some looks long; the run goes on without, too
            return
        self._resumes = 0

    def _listen(self) -> None:
        self.client.subscribe_topic(TOPIC, self._receiver)
        self.lookout.listen()
        for topic in ECHOED:
            self.client.unsubscribe_topic(topic)


def _clusters_here() -> list[Any]:
    """Return the clusters of this process, as far as somebody still has them."""
    return list(getattr(SpecCluster, "_instances", ()))

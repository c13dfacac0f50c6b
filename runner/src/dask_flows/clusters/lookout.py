"""Look after a run's cluster: is the scheduler alive, is there a worker, what befell those that are gone."""

import threading
from math import isinf
from typing import Any

from dask_flows.clusters.accidents import HANDLER, TOPIC, Accidents, Hearsay
from dask_flows.clusters.base import Attached, Tasks, Wanted
from dask_flows.clusters.connect import RPC_SECONDS, count_workers, register, rpc
from dask_flows.clusters.losses import restrictions, tell_lost, tell_starved
from dask_flows.clusters.probe import Probe, find_pulse, shake_hands
from dask_flows.clusters.watch import Look, SchedulerWatch, WorkersWatch
from dask_flows.deadline import Clock
from dask_flows.errors import DaskFlowsError, FlowFailed, SchedulerLost, WorkersLost

LOOK_SECONDS = 0.5  # between two looks, if nothing takes time
LONGEST_ASK = 10.0  # seconds between two questions for workers that count
# A scheduler without a pulse cannot be told from a busy one: it gets so many times the time-out.
OUTSIDE_FACTOR = 5
TRIES = 3  # to find a pulse: a scheduler may be slow to answer
SHORTEST_PERIOD, LONGEST_PERIOD = 0.5, 5.0  # between two signs of life, a tenth of the time-out
SHORTEST_PROBE, LONGEST_PROBE = 0.5, 2.0

LOST_REASON = "scheduler-connection-lost"
_STARVED = ("NoWorkerError", "NoValidWorkerError")  # Dask's own, after its no-workers-timeout


class Lookout:
    """What is known of scheduler and workers; safe to use from any thread."""

    def __init__(self, wanted: Wanted, attached: Attached, clock: Clock) -> None:
        self._wanted, self._attached, self._clock = wanted, attached, clock
        self._client: Any = attached.client
        patience = attached.patience
        if not isinf(patience):
            patience = min(patience, wanted.scheduler_timeout)
        self._scheduler = SchedulerWatch(patience, wanted.scheduler_timeout)
        self._workers = WorkersWatch(wanted.workers_timeout)
        self.hearsay = Hearsay(wanted.tag, strict=wanted.shared)
        self._lock = threading.RLock()
        self._seeking = threading.Lock()
        self._looked = self._asked = self._probed = clock.monotonic()
        self._probe: Probe | None = None
        self._tries = self._most_tries
        self._told = False
        self._period, self._probe_seconds = LONGEST_PERIOD, LONGEST_PROBE
        self._probing = 0.0  # seconds that the last look may have taken by asking

    def open(self) -> None:
        """Let the scheduler tell of its workers."""
        try:
            self._client.register_plugin(Accidents())
        except Exception:  # noqa: BLE001 - an outside scheduler may lack this package or refuse pickles
            self._told = False
        else:
            self._told = True
        self._looked = self._asked = self._probed = self._clock.monotonic()
        if self._tries:
            # Now it answers: one that is frozen later would be taken for one without a pulse.
            threading.Thread(target=self._seek, name="dask-flows-seek", daemon=True).start()

    def reopen(self) -> None:
        """Do the same with a scheduler that has come back; raises whatever keeps it from that."""
        if self._told:
            register(self._client, Accidents(), RPC_SECONDS)

    def listen(self) -> None:
        """Hear of lost workers; a scheduler that comes back has forgotten who listens."""
        self._client.subscribe_topic(TOPIC, self.hearsay)

    def look(self, planned: float = LOOK_SECONDS) -> DaskFlowsError | None:
        """Look whether the scheduler is alive; returns how it was lost, else None.

        ``planned`` is the most that should have passed since the last look (s).
        """
        now = self._clock.monotonic()
        took, self._looked = now - self._looked, now
        planned, self._probing = planned + self._probing, 0.0
        asks = self._probe is not None and now - self._probed >= self._period
        age = None
        if asks and self._probe is not None:
            self._probed, self._probing = now, self._probe_seconds
            age = self._probe(self._probe_seconds)
        return self._see(Look(took, planned, self._client.status, asks, age))

    @property
    def answers(self) -> bool:
        """Whether it makes sense to ask the scheduler something."""
        return self._scheduler.answers

    @property
    def away(self) -> bool:
        """Whether the client has no connection at the moment."""
        return self._scheduler.away is not None

    def ask(self, tasks: Tasks | None) -> tuple[int | None, DaskFlowsError | None]:
        """Ask for the workers; returns how many there are, None if nobody says, and how they were lost."""
        self._seek()
        now = self._clock.monotonic()
        seconds, self._asked = min(now - self._asked, LONGEST_ASK), now
        count: int | None
        told = rpc(self._client, HANDLER, tag=self._wanted.tag) if self._told else None
        if isinstance(told, dict):
            self.hearsay.spilling(told["spilling"], tasks.workers if tasks else ())
            count, waiting = int(told["workers"]), bool(told["waiting"])
        else:
            count = count_workers(self._client)
            futures = list(self._client.futures.values())
            waiting = any(future.status == "pending" for future in futures)
        lost = self._workers.see(seconds, count, waiting=waiting)
        if lost is None:
            return count, None
        return count, self._workers_lost(lost)

    def news(self) -> list[str]:
        """Return the lines that people have not been told yet."""
        with self._lock:
            watched = [*self._scheduler.news, *self._workers.news]
            self._scheduler.news.clear()
            self._workers.news.clear()
        return [*self.hearsay.take(), *watched]

    def blamed(self, error: BaseException) -> DaskFlowsError | None:
        """Return how a lost scheduler or lost workers explain what the flow raised; None if they do not."""
        from distributed.client import FutureCancelledError

        if type(error).__name__ in _STARVED and type(error).__module__.startswith("distributed"):
            return self._starved(error)  # Dask's patience may end before ours
        lost = self._see(Look(0.0, 0.0, self._client.status))
        cancelled = isinstance(error, FutureCancelledError)
        if cancelled and getattr(error, "reason", "") == LOST_REASON:
            return lost or self._scheduler_lost("the scheduler went away")
        if self._scheduler.gaps and (cancelled or isinstance(error, OSError | FlowFailed)):
            return lost or self._scheduler_lost("the scheduler was away for a while")
        return None

    def _see(self, look: Look) -> DaskFlowsError | None:
        with self._lock:
            was_away = self.away
            lost = self._scheduler.see(look)
            if was_away and not self.away:
                # A new scheduler has another pulse, or none.
                self._probe, self._tries = None, self._most_tries
        return None if lost is None else self._scheduler_lost(lost)

    @property
    def _most_tries(self) -> int:
        """How often to look for a pulse: never for a scheduler that lives and dies with this process."""
        own = self._wanted.mode == "local" or self._attached.address.startswith("inproc://")
        return 0 if own else TRIES

    def _seek(self) -> None:
        """Find out how to ask whether the scheduler is alive; until then nobody calls it silent."""
        with self._seeking:
            if self._tries:
                self._try_to_find()

    def _try_to_find(self) -> None:
        address, limit = self._attached.address, self._wanted.scheduler_timeout
        pulse = find_pulse(self._client, address)
        self._tries = 0 if pulse else self._tries - 1
        if pulse is None:
            limit *= OUTSIDE_FACTOR
        self._period = min(LONGEST_PERIOD, max(SHORTEST_PERIOD, limit / 10))
        self._probe_seconds = min(LONGEST_PROBE, max(SHORTEST_PROBE, limit / 5))
        self._scheduler.silence = limit
        self._probe = pulse or shake_hands(self._client, address)

    def _scheduler_lost(self, found: str) -> DaskFlowsError:
        do = "run it again; see why the scheduler ended or cannot be reached"
        return SchedulerLost(found, where=self._attached.address, do=do)

    def _starved(self, error: BaseException) -> DaskFlowsError:
        named = getattr(error, "worker_restrictions", ()) or getattr(error, "host_restrictions", ())
        if named or not restrictions(error):
            return self._workers_lost(tell_starved(error))
        # There may be other workers: the last one that was lost explains nothing.
        do = "start workers that have what it asks for, or ask for less"
        return WorkersLost(tell_starved(error), where=self._attached.address, do=do)

    def _workers_lost(self, found: str) -> DaskFlowsError:
        last = self.hearsay.last()
        if last is not None:
            found = f"{found}; the last one: {tell_lost(last)}"
        do = "see why no worker comes back, for instance its log and its memory limit"
        return WorkersLost(found, where=self._attached.address, do=do)

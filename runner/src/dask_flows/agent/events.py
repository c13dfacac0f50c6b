"""Kubernetes Events on FlowRuns, so that ``kubectl describe`` tells the story of a run.

Told in the background and never twice: an Event that cannot be written is dropped, since status holds
the truth. What was told of a run is not told again within ten minutes; the next Event then says how
often it was so. ``results`` counts what became of each.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass

from dask_flows.deadline import Clock, timestamp
from dask_flows.flowrun import FlowRun
from dask_flows.kube.api import Api, Object
from dask_flows.kube.errors import Forbidden, KubeError
from dask_flows.kube.resources import EVENTS, FLOWRUNS
from dask_flows.names import MANAGER

log = logging.getLogger(__name__)

WAITING = 1000  # more than this many unsent Events are dropped: the API server is slow
REPEAT = 600.0  # seconds until the same is told again
REMEMBERED = 10_000
MESSAGE_LIMIT = 1000


class Events:
    """Write Events one after the other."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._queue: asyncio.Queue[Object] = asyncio.Queue(WAITING)
        self._told: dict[int, _Told] = {}
        self._refused = False
        self.results = Counter({"sent": 0, "repeated": 0, "dropped": 0})

    def tell(self, run: FlowRun, reason: str, message: str, *, warning: bool = False) -> None:
        """Note an Event about a run."""
        repeats = self._repeats(run, reason, message)
        if repeats is None:
            self.results["repeated"] += 1
            return
        moment = timestamp(self._clock.now())
        event = _event(run, reason, message, moment, repeats + 1, warning=warning)
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.results["dropped"] += 1
            log.debug("dropped an event run=%s reason=%s", run.name, reason)

    async def run(self) -> None:
        """Send them for ever."""
        while True:
            event = await self._queue.get()
            try:
                await self._api.create(EVENTS, event["metadata"]["namespace"], event)
            except KubeError as error:
                self.results["dropped"] += 1
                # Once: without the right, every Event is refused.
                news = isinstance(error, Forbidden) and not self._refused
                self._refused = self._refused or news
                log.log(logging.WARNING if news else logging.DEBUG, "no event error=%s", error)
            except Exception:  # whatever it was, the next ones are told
                self.results["dropped"] += 1
                log.exception("dropped an event")
            else:
                self.results["sent"] += 1
                self._refused = False

    def _repeats(self, run: FlowRun, reason: str, message: str) -> int | None:
        """Return how often this was kept back since it was told; None if it is to be kept back."""
        now, key = self._clock.monotonic(), hash((run.uid, reason, message))
        told = self._told.get(key)
        if told is not None and now - told.at < REPEAT:
            told.repeats += 1
            return None
        self._told.pop(key, None)  # so that the order is that of telling
        while self._told and (len(self._told) >= REMEMBERED or self._oldest() < now - REPEAT * 2):
            del self._told[next(iter(self._told))]
        self._told[key] = _Told(now)
        return told.repeats if told is not None else 0

    def _oldest(self) -> float:
        return next(iter(self._told.values())).at


@dataclass(slots=True)
class _Told:
    """When something was told, and how often it was kept back since."""

    at: float
    repeats: int = 0


def _event(
    run: FlowRun, reason: str, message: str, moment: str, count: int, *, warning: bool
) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{run.name}.", "namespace": run.namespace},
        "involvedObject": {
            "apiVersion": FLOWRUNS.api_version,
            "kind": FLOWRUNS.kind,
            "namespace": run.namespace,
            "name": run.name,
            "uid": run.uid,
            "resourceVersion": run.resource_version,
        },
        "reason": reason,
        "message": message[:MESSAGE_LIMIT],
        "type": "Warning" if warning else "Normal",
        "source": {"component": MANAGER},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": count,
    }

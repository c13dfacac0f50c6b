"""Kubernetes Events on FlowRuns, so that ``kubectl describe`` tells the story of a run.

Told in the background and never twice: an Event that cannot be written is dropped, since status holds
the truth.
"""

import asyncio
import logging

from dask_flows.deadline import Clock, timestamp
from dask_flows.flowrun import FlowRun
from dask_flows.kube.api import Api, Object
from dask_flows.kube.errors import KubeError
from dask_flows.kube.resources import EVENTS, FLOWRUNS
from dask_flows.names import MANAGER

log = logging.getLogger(__name__)

WAITING = 200  # more than this many unsent Events are dropped: the API server is slow
MESSAGE_LIMIT = 1000


class Events:
    """Write Events one after the other."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._queue: asyncio.Queue[Object] = asyncio.Queue(WAITING)

    def tell(self, run: FlowRun, reason: str, message: str, *, warning: bool = False) -> None:
        """Note an Event about a run."""
        event = _event(run, reason, message, timestamp(self._clock.now()), warning=warning)
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            log.debug("dropped an event run=%s reason=%s", run.name, reason)

    async def run(self) -> None:
        """Send them for ever."""
        while True:
            event = await self._queue.get()
            try:
                await self._api.create(EVENTS, event["metadata"]["namespace"], event)
            except KubeError as error:
                log.debug("dropped an event: %s", error)
            except Exception:  # whatever it was, the next ones are told
                log.exception("dropped an event")


def _event(run: FlowRun, reason: str, message: str, moment: str, *, warning: bool) -> Object:
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
        "count": 1,
    }

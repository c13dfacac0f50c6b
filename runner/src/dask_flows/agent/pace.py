"""Create objects no faster than the cluster can follow.

Kubernetes' controller manager makes pods and collects what is left of runs with 20 requests per second in
its usual setting. An agent that creates faster only makes it fall behind, for everybody in the cluster.

- Creations take tokens from one bucket, first come first served. Nothing else waits: not status, not
  deletions, which make room.
- An Event and a dry run take no token: no controller acts on them.
- What the API server asks with ``Retry-After`` after a creation holds for all of them.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from dask_flows.deadline import Clock
from dask_flows.kube.api import PAGE, Api, Event, Object, Page
from dask_flows.kube.errors import KubeError
from dask_flows.kube.resources import EVENTS, Resource

log = logging.getLogger("dask_flows.agent")

BUSY = (429, 503)
ONE = 1 - 1e-6  # a token, as far as sums of fractions make a whole
LONGEST_PAUSE = 60.0  # seconds; whoever asks for more is asked again after this


class Bucket:
    """Tokens that come back at a steady rate; at most ``burst`` of them are ever there."""

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._filled = float("-inf")
        self._turn = asyncio.Lock()  # wakes those who wait in the order they came
        self.waiting = 0

    async def take(self) -> None:
        """Wait for a token and take it."""
        self.waiting += 1
        try:
            async with self._turn:
                while (seconds := self._missing()) > 0:  # noqa: ASYNC110 - a pause may come meanwhile
                    await asyncio.sleep(seconds)
                self._tokens -= 1
        finally:
            self.waiting -= 1

    def pause(self, seconds: float) -> None:
        """Give no token for so long; afterwards they come at the rate, without a burst."""
        self._fill()
        self._tokens = 0.0
        self._filled = max(self._filled, self._clock.monotonic() + seconds)

    def _missing(self) -> float:
        """Return the seconds until there is a token; 0 if there is one."""
        self._fill()
        if self._tokens >= ONE:
            return 0.0
        paused = max(0.0, self._filled - self._clock.monotonic())
        return paused + (1 - self._tokens) / self._rate

    def _fill(self) -> None:
        now = self._clock.monotonic()
        if now > self._filled:  # else it is paused
            grown = (now - self._filled) * self._rate
            self._tokens = min(float(self._burst), self._tokens + grown)
            self._filled = now


class Paced:
    """The Kubernetes API with its creations at a steady pace."""

    def __init__(self, api: Api, bucket: Bucket) -> None:
        self._api = api
        self._bucket = bucket

    async def create(
        self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False
    ) -> Object:
        """Create an object in its turn; a dry run and an Event need none."""
        if not dry_run and resource is not EVENTS:
            await self._bucket.take()
        try:
            return await self._api.create(resource, namespace, body, dry_run=dry_run)
        except KubeError as error:
            if error.code in BUSY and error.retry_after:
                seconds = min(error.retry_after, LONGEST_PAUSE)
                log.warning("creations pause seconds=%.0f code=%d", seconds, error.code)
                self._bucket.pause(seconds)
            raise

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Read one object."""
        return await self._api.get(resource, namespace, name)

    async def list(
        self,
        resource: Resource,
        namespace: str,
        *,
        labels: str = "",
        fields: str = "",
        limit: int = PAGE,
        more: str = "",
    ) -> Page:
        """Read one page of a list."""
        return await self._api.list(
            resource, namespace, labels=labels, fields=fields, limit=limit, more=more
        )

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Object,
        *,
        subresource: str = "",
    ) -> Object:
        """Merge into an object."""
        return await self._api.patch(resource, namespace, name, body, subresource=subresource)

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace: int | None = None,
    ) -> None:
        """Delete an object."""
        await self._api.delete(resource, namespace, name, uid=uid, grace=grace)

    def watch(
        self,
        resource: Resource,
        namespace: str,
        *,
        resource_version: str,
        seconds: int,
        labels: str = "",
        fields: str = "",
    ) -> AsyncGenerator[Event, None]:
        """Follow changes."""
        return self._api.watch(
            resource,
            namespace,
            resource_version=resource_version,
            seconds=seconds,
            labels=labels,
            fields=fields,
        )

    def logs(self, namespace: str, pod: str, **options: Any) -> AsyncGenerator[str, None]:
        """Read a container's output."""
        return self._api.logs(namespace, pod, **options)

"""Create objects no faster than the cluster can follow.

Kubernetes' controller manager makes pods and collects what is left of runs with 20 requests per second in
its usual setting. An agent that creates faster only makes it fall behind, for everybody in the cluster.

- Creations take tokens from one bucket, first come first served. Nothing else waits: not status, not
  deletions, which make room.
- Jobs, pods and Services take a token: controllers act on them. Events, Secrets, ConfigMaps, NetworkPolicies
  and dry runs do not, and the pod of a Job that has had its turn waits for its Secret.
- What the API server asks with ``Retry-After`` after a creation holds for all of them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dask_flows.deadline import Clock
from dask_flows.kube.api import Api
from dask_flows.kube.errors import KubeError
from dask_flows.kube.resources import CONFIG_MAPS, EVENTS, NETWORK_POLICIES, SECRETS
from dask_flows.kube.through import Call, Through

log = logging.getLogger("dask_flows.agent")

T = TypeVar("T")
BUSY = (429, 503)
FREE = (CONFIG_MAPS, EVENTS, NETWORK_POLICIES, SECRETS)
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


class Paced(Through):
    """The Kubernetes API with its creations at a steady pace."""

    def __init__(self, api: Api, bucket: Bucket) -> None:
        super().__init__(api)
        self._bucket = bucket

    async def _around(self, call: Call, go: Callable[[], Awaitable[T]]) -> T:
        """Let creations wait for their turn, if they need one."""
        if call.verb != "create":
            return await go()
        if not call.dry_run and call.resource not in FREE:
            await self._bucket.take()
        try:
            return await go()
        except KubeError as error:
            if error.code in BUSY and error.retry_after:
                seconds = min(error.retry_after, LONGEST_PAUSE)
                log.warning("creations pause seconds=%.0f code=%d", seconds, error.code)
                self._bucket.pause(seconds)
            raise

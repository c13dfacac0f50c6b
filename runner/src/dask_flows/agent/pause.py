"""The pause Lease: while an upgrade drains the shared cluster, no run is claimed for it.

The chart's hook takes the Lease and renews it; a hook that dies lets it run out. The Lease names the
configuration that the upgrade leads to: the agent that has this configuration is the upgraded one, for
which the pause is over, and it removes the Lease.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dask_flows.config import AgentConfig
from dask_flows.deadline import Clock, parse_timestamp
from dask_flows.kube.api import Api, remove
from dask_flows.kube.errors import KubeError, NotFound
from dask_flows.kube.resources import LEASES
from dask_flows.names import ANNOTATION_TARGET

log = logging.getLogger("dask_flows.agent")

RETRY = 5.0
# Seconds. No clock is that wrong: such a Lease was left by a dead hook, and pauses no new agent.
ANCIENT = 7_200.0
FRESH = 0.5  # seconds; well below what the hook waits after taking the Lease


@dataclass
class Pause:
    """Ask whether claims for the shared cluster are paused."""

    api: Api
    config: AgentConfig
    clock: Clock
    _free_until: float = field(default=float("-inf"), init=False)
    _seen: tuple[object, ...] = field(default=(), init=False)  # the Lease as it was last renewed
    _since: float = field(default=float("-inf"), init=False)  # when that was seen first

    async def seconds(self) -> float:
        """Return for how long claims are paused from now on; 0 if they are not.

        Asked before each claim: the hook waits a moment after taking the Lease, so that whoever asked
        before it has written the claim by then. Claims that follow each other closely share an answer.
        """
        now = self.clock.monotonic()
        if now < self._free_until:
            return 0.0
        seconds = await self._ask()
        self._free_until = now + FRESH if not seconds else float("-inf")
        return seconds

    async def _ask(self) -> float:
        release = self.config.release
        try:
            lease = await self.api.get(LEASES, release.namespace, self.config.pause_lease)
        except NotFound:
            return 0.0
        annotations = lease["metadata"].get("annotations") or {}
        if annotations.get(ANNOTATION_TARGET) == self.config.config_hash:
            uid = lease["metadata"]["uid"]
            await remove(self.api, LEASES, release.namespace, self.config.pause_lease, uid=uid)
            return 0.0
        return self._left(lease)

    def _left(self, lease: Mapping[str, Any]) -> float:
        """Return how long a Lease holds unless it is renewed; 0 for one that cannot be read.

        From when its renewal was seen, as in client-go's leader election: the clock of who has written it may
        be wrong, or ours.
        """
        spec = lease.get("spec") or {}
        try:
            renewed = parse_timestamp(spec["renewTime"])
            lasts = float(spec["leaseDurationSeconds"])
        except (KeyError, TypeError, ValueError):
            return 0.0
        if (self.clock.now() - renewed).total_seconds() > ANCIENT:
            return 0.0
        now = self.clock.monotonic()
        if (seen := (lease["metadata"].get("uid"), renewed)) != self._seen:
            self._seen, self._since = seen, now
        return max(0.0, self._since + lasts - now)

    async def clear(self) -> None:
        """Remove our own upgrade's Lease, if it is there, in whatever mode; tries until it can."""
        while True:
            try:
                await self.seconds()
            except KubeError as error:  # the agent works without it
                log.warning("cannot read the pause Lease again=%.0fs error=%s", RETRY, error)
                await asyncio.sleep(RETRY)
            else:
                return

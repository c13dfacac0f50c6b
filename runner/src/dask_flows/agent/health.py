"""Whether the agent is alive, which the kubelet asks, and ready, which tells when it has its picture.

Alive means that everything it follows gave a sign of life lately, bookmarks and refusals included, and
that its event loop goes round. A process whose watch has died without a word is worse than none.
"""

from typing import Any

from dask_flows.agent.heartbeat import Heartbeat
from dask_flows.deadline import Clock
from dask_flows.kube.informer import Informer

SILENCE = 180.0  # an informer without any sign of life for this long is dead


class Health:
    """Judge the agent."""

    def __init__(
        self,
        followed: tuple[Informer[Any], ...],
        needed: tuple[Informer[Any], ...],
        heartbeat: Heartbeat,
        clock: Clock,
    ) -> None:
        self._followed = followed
        self._needed = needed
        self._heartbeat = heartbeat
        self._clock = clock

    def trouble(self) -> str:
        """Say what is dead; empty if nothing is."""
        if not self._heartbeat.alive:
            return "the event loop does not go round"
        now = self._clock.monotonic()
        for informer in self._followed:
            silent = now - informer.last_sign
            if silent >= SILENCE:
                return f"nothing has been heard of {informer.resource} for {silent:.0f} s"
        return ""

    def missing(self) -> str:
        """Say what keeps the agent from working; empty if nothing does."""
        unlisted = [str(i.resource) for i in self._needed if not i.synced.is_set()]
        return self.trouble() or (f"not listed yet: {', '.join(unlisted)}" if unlisted else "")

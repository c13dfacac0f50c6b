"""The seam between the agent and whatever makes ephemeral clusters."""

from collections.abc import Sequence
from typing import Protocol

from dask_flows.agent.attempt import Attempt
from dask_flows.agent.scaling import Goal, Growth
from dask_flows.agent.views import PodView
from dask_flows.plan import Plan


class Engine(Protocol):
    """Make, watch, resize and remove the Dask cluster of one attempt.

    Every method may be called again after a crash at any point of an earlier call, and then completes
    what is missing. All objects are owned by the FlowRun and carry the attempt's labels.
    """

    async def prepare(self, plan: Plan) -> Plan:
        """Make what must be there before the pods; returns the plan with the scheduler's address."""
        ...

    async def create(self, plan: Plan) -> None:
        """Make the scheduler and the minimum of workers."""
        ...

    def observe(self, attempt: Attempt) -> Sequence[PodView]:
        """Return the cluster's pods as they are known now."""
        ...

    async def scale(self, plan: Plan, goal: Goal) -> Growth:
        """Come nearer to the goal; raises KubeError for what is refused or fails."""
        ...

    async def end(self, attempt: Attempt) -> bool:
        """End the cluster's pods; returns whether none is left."""
        ...

    async def delete(self, attempt: Attempt) -> bool:
        """End the pods and, once they are gone, remove the rest; returns whether nothing of it is left."""
        ...

    def forget(self, attempt: Attempt) -> None:
        """Drop what is remembered of an attempt whose run is gone."""
        ...

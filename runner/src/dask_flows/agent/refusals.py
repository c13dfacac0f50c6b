"""What the API server refuses the agent is shown on the run it is about, and taken back once it is allowed."""

from dask_flows.agent import status
from dask_flows.agent.memory import Memory
from dask_flows.agent.observed import Observed
from dask_flows.agent.recorder import Recorder
from dask_flows.deadline import Clock
from dask_flows.diagnose import diagnose_refusal
from dask_flows.flowrun import RUNNING
from dask_flows.kube.errors import Forbidden


class Refusals:
    """Tell of them in status."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock

    async def show(self, seen: Observed, memory: Memory, error: Forbidden) -> None:
        """Say what is missing, unless status says so already; ``seen`` may hold nothing but the run."""
        run = seen.run
        found = diagnose_refusal(error.reason, error.found, f"FlowRun {run.name}")
        if run.terminal or (run.between and not seen.cleaned_up):
            patch = status.blocked(run, found, self._clock.now())
        else:
            memory.refusal = found
            patch = status.reported(found)
            if run.phase == RUNNING and run.status.get("reason") == found.reason:
                return  # a message names another pod each time
        if any(run.status.get(key) != value for key, value in patch.items()):
            await self._recorder.write(run, patch)

    async def take_back(self, seen: Observed, memory: Memory) -> bool:
        """Say that nothing is refused any more, after all was done; returns whether to look again for what else is."""
        run = seen.run
        if seen.starting:
            if not seen.runners:  # the refusal is of its pod
                return False
            refused, memory.refusal = memory.refusal, None
            return refused is not None
        if run.phase == RUNNING and run.status.get("reason") and not seen.stopping:
            await self._recorder.write(run, status.reported(None))
        return False

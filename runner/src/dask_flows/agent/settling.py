"""Record how attempts end: as the end of their run, or as a pause before the next attempt.

The one place that decides it, for what the agent sees and for what a runner reports alike. It is one
write: an attempt whose end is not in status has not ended, and one whose end is there ends no second time.
"""

from collections.abc import Callable

from dask_flows.agent import status
from dask_flows.agent.fence import is_over
from dask_flows.agent.recorder import Recorder
from dask_flows.agent.retrying import Random, Used, next_attempt
from dask_flows.agent.timing import left_to_run
from dask_flows.agent.verdict import SUSPENDED, Ending, unrecordable
from dask_flows.config import AgentConfig
from dask_flows.deadline import Clock
from dask_flows.flowrun import CLAIMED, FAILED, FlowRun
from dask_flows.kube.errors import Invalid


class Settling:
    """Write ends."""

    def __init__(
        self, recorder: Recorder, config: AgentConfig, clock: Clock, random: Random
    ) -> None:
        self._recorder = recorder
        self._config = config
        self._clock = clock
        self._random = random

    async def end(self, run: FlowRun, ending: Ending, deadline: int | None) -> None:
        """Record what the agent has found, with less if the API server refuses to store it."""
        try:
            await self._recorder.write(run, self.patch(run, ending, deadline))
        except Invalid as error:
            await self._recorder.write(run, self.patch(run, unrecordable(error), deadline))

    async def report(
        self,
        run: FlowRun,
        ending: Ending,
        deadline: int | None,
        check: Callable[[FlowRun], None],
    ) -> None:
        """Record what the runner of this attempt says, unless the attempt has ended already.

        ``check`` raises if the newest copy shows that it is not this runner's to say.
        """

        def change(newest: FlowRun) -> status.Patch | None:
            if is_over(newest, run.attempt):
                return None
            check(newest)
            return self.patch(newest, found, deadline)

        found = ending
        try:
            await self._recorder.update(run, change)
        except Invalid as error:
            found = unrecordable(error)
            await self._recorder.update(run, change)

    def patch(self, run: FlowRun, ending: Ending, deadline: int | None) -> status.Patch:
        """Return what to write about the end of a run's present attempt; ``deadline`` is the run's."""
        now = self._clock.now()
        if ending.phase != FAILED or run.phase not in CLAIMED:
            return status.finished(run, ending, now)
        if ending.reason == SUSPENDED:
            return status.suspended(run, ending, now)
        budget = self._config.runs_of(run.spec.profile).retries.with_(run.spec.retries)
        used = Used.of(run.status)
        retry = next_attempt(ending.reason, used, budget, now, self._random)
        if retry is None:
            return status.finished(run, ending, now)
        if deadline is not None and left_to_run(run, deadline, retry.at) <= 0:
            return status.too_late(run, ending, deadline, now)
        return status.retried(run, ending, retry, now)

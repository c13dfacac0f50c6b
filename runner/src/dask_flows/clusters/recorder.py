"""Record, on the scheduler, what a run's tasks and workers do, for its report.

One plugin serves all runs of a scheduler that are recorded; it is there only as long as one is.
"""

from typing import Any

from distributed import SchedulerPlugin
from distributed.metrics import time
from tornado.ioloop import PeriodicCallback

from dask_flows.clusters.recorded import Recorded
from dask_flows.clusters.tags import ANNOTATION

HANDLER = "dask_flows_recorder"
NAME = "dask-flows-recorder"
SAMPLE_SECONDS = 1.0
FORGET_SECONDS = 300.0  # a runner asks every few seconds; one that has not for so long is dead
RUNS = 50


class Recorder(SchedulerPlugin):
    """Records by tag; clients use the RPC ``dask_flows_recorder(step=…, tag=…)``."""

    name = NAME
    idempotent = True

    def __init__(self) -> None:
        self._runs: dict[str, Recorded] = {}
        self._scheduler: Any = None
        self._sampler: Any = None

    async def start(self, scheduler: Any) -> None:
        """Offer recording to clients."""
        self._scheduler = scheduler
        scheduler.handlers[HANDLER] = self.handle

    def handle(self, step: str, tag: str) -> dict[str, Any] | None:
        """Begin, read or end the record of a run; None for one that is not recorded."""
        if step == "begin":
            self._begin(tag)
        run = self._runs.get(tag)
        if run is None:
            return None
        run.asked = time()
        self._sample()
        told = run.to_dict(self._scheduler)
        if step == "end":
            self._forget(tag)
        return told

    def transition(self, key: Any, start: str, finish: str, *_: Any, **kwargs: Any) -> None:
        """Add a change; called for every one, so it leaves early."""
        if start == "processing" or (start == "memory" and finish == "released"):
            task = self._scheduler.tasks.get(key)
            if task is None or task.annotations is None:
                return
            run = self._runs.get(task.annotations.get(ANNOTATION))
            if run is None:
                return
            if finish in ("memory", "erred"):
                run.done(task, kwargs, failed=finish == "erred")
            elif finish == "released" and (task.who_wants or task.waiters):
                run.again(task, kwargs.get("stimulus_id", ""))

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Note the worker."""
        for run in self._runs.values():
            run.joined(scheduler.workers[worker], time())

    def remove_worker(self, scheduler: Any, worker: str, *, stimulus_id: str, **_: Any) -> None:  # noqa: ARG002 - Dask's signature
        """Note when it left, and which tasks that cost."""
        for run in self._runs.values():
            run.left(worker, stimulus_id)

    async def close(self) -> None:
        """Stop looking."""
        self._stop()

    def _begin(self, tag: str) -> None:
        if tag in self._runs:
            return
        if len(self._runs) >= RUNS:
            self._forget(next(iter(self._runs)))
        self._runs[tag] = Recorded(self._scheduler)
        if NAME not in self._scheduler.plugins:  # the last run has just taken it away
            self._scheduler.add_plugin(self, name=NAME)
        if self._sampler is None:
            self._sampler = PeriodicCallback(self._sample, SAMPLE_SECONDS * 1000)
            self._sampler.start()

    def _forget(self, tag: str) -> None:
        self._runs.pop(tag, None)
        if not self._runs:
            self._stop()
            if self._scheduler.plugins.get(NAME) is self:
                self._scheduler.remove_plugin(NAME)

    def _stop(self) -> None:
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None

    def _sample(self) -> None:
        now = time()
        for tag, run in list(self._runs.items()):
            if now - run.asked > FORGET_SECONDS:
                self._forget(tag)
            else:
                run.sample(self._scheduler, now)

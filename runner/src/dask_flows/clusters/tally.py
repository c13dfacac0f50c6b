"""Count, on the scheduler, how far each run's tasks are and which workers did them."""

from typing import Any

from distributed import SchedulerPlugin

from dask_flows.clusters.output import display_name
from dask_flows.clusters.tags import ANNOTATION, tag_of

HANDLER = "dask_flows_tally"
REMEMBERED = 1000  # runs; the oldest are forgotten, a shared scheduler lives long
COUNTED = {"memory": "done", "erred": "failed"}  # what a task's state counts as


class Tally(SchedulerPlugin):
    """Counts by tag; clients read it with the RPC ``dask_flows_tally(tag=…)``."""

    name = "dask-flows-tally"
    idempotent = True

    def __init__(self) -> None:
        self._runs: dict[str, dict[str, Any]] = {}
        self._before: dict[Any, str] = {}  # states of tasks that had ended and may do so again
        self._scheduler: Any = None

    async def start(self, scheduler: Any) -> None:
        """Offer the counts to clients."""
        self._scheduler = scheduler
        scheduler.handlers[HANDLER] = self.read

    def read(self, tag: str) -> dict[str, Any]:
        """Return the counts of one run."""
        return self._of(tag)

    def update_graph(self, *_: Any, annotations: dict[str, Any], **__: Any) -> None:
        """Count the tasks that a client has sent."""
        tagged = annotations.get(ANNOTATION)
        if tagged:
            # One graph comes from one client, and a client has one tag.
            self._of(next(iter(tagged.values())))["total"] += len(tagged)

    def transition(self, key: Any, start: str, finish: str, *_: Any, **kwargs: Any) -> None:
        """Count the tasks that a worker has ended; called for every change, so it leaves early.

        A task that ends again, because its result was lost or it is tried anew, counts once.
        """
        if start in COUNTED and finish == "released":
            self._before[key] = start
        elif finish == "forgotten":
            self._before.pop(key, None)
        elif start == "processing" and finish in COUNTED:
            before = self._before.pop(key, None)
            task = self._scheduler.tasks.get(key)
            tag = tag_of(task)
            if tag is not None:
                self._count(self._of(tag), before, finish, kwargs.get("worker"))

    def _count(self, counts: dict[str, Any], before: str | None, now: str, worker: Any) -> None:
        if before is not None:
            counts[COUNTED[before]] = max(0, counts[COUNTED[before]] - 1)
        counts[COUNTED[now]] += 1
        state = self._scheduler.workers.get(worker)
        if now == "memory" and state is not None:
            name = display_name(state.name)
            counts["workers"][name] = counts["workers"].get(name, 0) + 1

    def _of(self, tag: str) -> dict[str, Any]:
        if tag not in self._runs:
            if len(self._runs) >= REMEMBERED:
                del self._runs[next(iter(self._runs))]
            self._runs[tag] = {"total": 0, "done": 0, "failed": 0, "workers": {}}
        return self._runs[tag]

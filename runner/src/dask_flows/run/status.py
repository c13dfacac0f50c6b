"""What is known of a run while it runs, shared by the threads that learn it and those that tell it."""

import threading
from typing import Any

from dask_flows.clusters import Scaling, Tasks

CLUSTER, RUNNING, CLOSING = "cluster", "running", "closing"


class Status:
    """Phase, workers and tasks of a run; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._phase = CLUSTER
        self._message = ""
        self._workers = 0
        self._most_workers = 0
        self._tasks: Tasks | None = None
        self._scaling: Scaling | None = None

    @property
    def most_workers(self) -> int:
        """The largest number of workers that was seen."""
        return self._most_workers

    def enter(self, phase: str) -> None:
        """Begin a phase."""
        with self._lock:
            self._phase = phase

    def note(self, text: str, **facts: Any) -> None:
        """Remember the last line that was said, and the workers in it."""
        with self._lock:
            self._message = text
            if "minimum" in facts:
                self._count(facts["workers"])

    def learn(self, workers: int | None, tasks: Tasks | None, scaling: Scaling | None) -> None:
        """Take what the scheduler says; None leaves what is known."""
        with self._lock:
            if workers is not None:
                self._count(workers)
            self._tasks = tasks or self._tasks
            self._scaling = scaling

    def beat(self) -> dict[str, Any]:
        """Return what a beat tells the agent."""
        with self._lock:
            tasks, scaling = self._tasks, self._scaling
            return {
                "phase": self._phase,
                "message": self._message,
                "workers": self._workers,
                "tasks": {"done": tasks.done, "total": tasks.total} if tasks else None,
                "scaling": scaling and {"wanted": scaling.wanted, "idle": list(scaling.idle)},
            }

    def _count(self, workers: int) -> None:
        self._workers = workers
        self._most_workers = max(self._most_workers, workers)

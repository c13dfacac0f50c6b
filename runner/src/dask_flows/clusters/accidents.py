"""Tell a run, from the scheduler, what befalls its workers: lost ones, with what they ran, and spilling ones."""

import threading
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from distributed import SchedulerPlugin

from dask_flows.clusters.connect import USABLE
from dask_flows.clusters.losses import size, tell_lost
from dask_flows.clusters.output import display_name
from dask_flows.clusters.tags import tag_of

HANDLER = "dask_flows_workers"
TOPIC = "dask-flows-accidents"
NANNY_TOPIC = "worker-restart-memory"  # Dask's own: a nanny ends a worker for its memory
SHOWN = 3  # tasks by name
LONGEST_NAME = 80  # characters
REMEMBERED = 100


class Accidents(SchedulerPlugin):
    """Tells lost workers as events; clients read the rest with the RPC ``dask_flows_workers(tag=…)``."""

    name = "dask-flows-accidents"
    idempotent = True

    def __init__(self) -> None:
        self._scheduler: Any = None
        self._states: dict[str, Any] = {}  # when Dask tells of a lost worker, it has forgotten it
        self._ended: dict[str, int] = {}  # by their nannies, with so many bytes

    async def start(self, scheduler: Any) -> None:
        """Answer clients."""
        self._scheduler = scheduler
        self._states = dict(scheduler.workers)
        scheduler.handlers[HANDLER] = self.read

    def read(self, tag: str) -> dict[str, Any]:
        """Return what a run asks again and again.

        How many workers are usable, whether the run's tasks wait for any, and each that has data on its disk.
        """
        spilling = {
            display_name(state.name): [spilled, state.memory_limit]
            for state in self._scheduler.workers.values()
            if (spilled := (state.metrics.get("spilled_bytes") or {}).get("disk"))
        }
        usable = sum(state.status.name in USABLE for state in self._scheduler.workers.values())
        waiting = not usable and self._waiting(tag)
        return {"workers": usable, "waiting": waiting, "spilling": spilling}

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Keep what will be asked when it is gone."""
        self._states[worker] = scheduler.workers[worker]

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:  # noqa: ARG002 - Dask's signature
        """Forget a worker of which all has been told."""
        self._states.pop(worker, None)
        self._ended.pop(worker, None)

    def log_event(self, topic: str, msg: Any) -> None:
        """Hear what Dask says of lost workers; called for every event, so it leaves early."""
        if topic == NANNY_TOPIC:
            self._ended[str(msg["worker"])] = int(msg["rss"])
        elif topic == "all" and isinstance(msg, Mapping) and msg.get("action") == "remove-worker":
            asked_for = str(msg.get("stimulus_id")).startswith("restart")
            if not asked_for and not msg.get("expected"):
                self._tell(msg)

    def _tell(self, msg: Mapping[str, Any]) -> None:
        state = self._states.get(msg["worker"])
        if state is None:
            return
        running = {task.key for task in state.executing} & set(msg["processing-tasks"])
        tasks = self._by_tag(running or msg["processing-tasks"])
        results = self._by_tag(msg.get("lost-computed-tasks") or ())
        facts = {
            "name": display_name(state.name),
            "limit": state.memory_limit or 0,
            "memory": self._ended.get(msg["worker"]) or state.metrics.get("memory") or 0,
            "ended": msg["worker"] in self._ended,
        }
        for tag in {*tasks, *results} or {None}:
            named, lost = tasks.get(tag, []), len(results.get(tag, []))
            own = {"tag": tag, "tasks": named[:SHOWN], "more": len(named[SHOWN:]), "results": lost}
            self._scheduler.log_event(TOPIC, {**facts, **own})

    def _by_tag(self, keys: Iterable[Any]) -> dict[str | None, list[str]]:
        named: dict[str | None, list[str]] = {}
        for key in keys:
            if (task := self._scheduler.tasks.get(key)) is not None:
                tag = tag_of(task)
                named.setdefault(tag, []).append(name_task(task.prefix.name, key))
        return named

    def _waiting(self, tag: str) -> bool:
        ready = chain(self._scheduler.unrunnable, self._scheduler.queued)
        return any(tag_of(task) == tag for task in ready)


class Hearsay:
    """What a run hears of its workers, in words; ``strict`` leaves out those that did nothing for it."""

    def __init__(self, tag: str, *, strict: bool) -> None:
        self._tag, self._strict = tag, strict
        self._lock = threading.Lock()
        self._news: list[str] = []
        self._spilling: set[str] = set()
        self._lost: list[Mapping[str, Any]] = []

    def __call__(self, event: tuple[float, Any]) -> None:
        """Take the event of a lost worker."""
        facts = event[1]
        tag = facts.get("tag")
        if tag != self._tag and (tag is not None or self._strict):
            return
        with self._lock:
            self._lost = [*self._lost, facts][-REMEMBERED:]
            self._news.append(tell_lost(facts))

    def spilling(self, workers: Mapping[str, Any], mine: Iterable[str]) -> None:
        """Take which workers spill; ``mine`` are those that have done tasks of this run."""
        with self._lock:
            for name, (spilled, limit) in workers.items():
                if name in self._spilling or (self._strict and name not in mine):
                    continue
                self._spilling.add(name)
                told = f"{name} spills: {size(spilled)} of its data are on disk"
                self._news.append(f"{told}, its memory limit is {size(limit)}")

    def take(self) -> list[str]:
        """Return the lines that are new."""
        with self._lock:
            news, self._news = self._news, []
        return news

    def last(self, name: str | None = None) -> Mapping[str, Any] | None:
        """Return the facts of the last worker that was lost, or of the last one with this name."""
        with self._lock:
            return next((one for one in self._lost[::-1] if name in (None, one["name"])), None)


def name_task(prefix: str, key: Any) -> str:
    """Name a task for people: the function, and the key that the dashboard shows."""
    text = f"{prefix} ({key})"
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…)"

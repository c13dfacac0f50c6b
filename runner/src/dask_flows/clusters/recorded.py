"""What is recorded of one run: sums instead of tasks, so its size does not depend on their number."""

from heapq import heappush, heapreplace
from math import frexp
from typing import Any

from distributed.metrics import time

from dask_flows.clusters.output import display_name
from dask_flows.clusters.timeline import REST, Samples, Timeline

NAMES, SLOWEST, FAILURES, WORKERS, STIMULI = 200, 50, 20, 1000, 100
ERRED, OWN_WISH = "task-erred", "reschedule"  # how Dask's workers begin the names of their stimuli
LONGEST_TEXT = 1000  # characters of a key or an exception; cut again when secrets are masked
LEAST_PAUSE = 0.25  # seconds between two samples


class Name:
    """What is known of all tasks with one name; times in seconds."""

    __slots__ = (
        "count", "disk", "failed", "histogram", "longest", "rerun", "result_bytes", "retried", "row",
        "seconds", "shortest", "transfer",
    )  # fmt: skip

    def __init__(self, row: list[float]) -> None:
        self.row = row
        self.count = self.failed = self.retried = self.rerun = self.result_bytes = 0
        self.seconds = self.transfer = self.disk = self.longest = 0.0
        self.shortest = float("inf")
        self.histogram: dict[int, int] = {}  # by the exponent of the next power of two

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        told: dict[str, Any] = {key: getattr(self, key) for key in self.__slots__ if key != "row"}
        told["histogram"] = sorted(self.histogram.items())
        told["shortest"] = self.shortest if self.count else 0.0
        return told


class Worker:
    """What is known of one worker; times in seconds."""

    __slots__ = (
        "joined", "left", "limit", "name", "peak", "rerun", "row", "seconds", "spilled", "tasks", "threads",
        "transfer",
    )  # fmt: skip

    def __init__(self, name: str, row: list[float]) -> None:
        self.name, self.row = name, row
        self.threads = self.limit = self.tasks = self.rerun = self.peak = self.spilled = 0
        self.seconds = self.transfer = 0.0
        self.joined: float | None = None
        self.left: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {key: getattr(self, key) for key in self.__slots__ if key != "row"}


class Recorded:
    """One run's record."""

    def __init__(self, scheduler: Any) -> None:
        self.asked = self._began = time()
        self._names: dict[str, Name] = {}
        self._workers: dict[str, Worker] = {}
        self._by_name, self._by_worker = Timeline(self._began), Timeline(self._began)
        self._samples = Samples()
        self._sampled = 0.0
        self._slowest: list[tuple[float, int, str, str, str, float]] = []
        self._ended = 0
        self._failures: list[list[Any]] = []
        self._again: dict[str, int] = {}  # by stimulus, until the worker is named that caused it
        self._before = dict(scheduler.cumulative_worker_metrics)
        for state in scheduler.workers.values():
            self.joined(state, None)

    def named(self, name: str) -> Name:
        """Return the sums for a name."""
        found = self._names.get(name)
        if found is None:
            if len(self._names) >= NAMES:
                name = REST
            found = self._names.setdefault(name, Name(self._by_name.row(name)))
        return found

    def done(self, task: Any, facts: dict[str, Any], *, failed: bool) -> None:
        """Add a task that a worker has ended."""
        address = facts.get("worker") or ""
        name, worker = self.named(task.prefix.name), self._workers.get(address)
        seconds, begin = 0.0, 0.0
        for step in facts.get("startstops") or ():
            action, start, stop = step["action"], step["start"], step["stop"]
            spent = max(0.0, stop - start)
            if action == "compute":
                seconds, begin = seconds + spent, start
                # A worker's clock may be ahead; the future would only make the buckets wide.
                late = max(0.0, stop - time())
                self._by_name.add(name.row, start - late, stop - late)
                if worker is not None:
                    self._by_worker.add(worker.row, start - late, stop - late)
            elif action == "transfer":
                name.transfer += spent
                if worker is not None:
                    worker.transfer += spent
            else:
                name.disk += spent
        self._ended += 1
        name.count += 1
        name.seconds += seconds
        name.shortest, name.longest = min(name.shortest, seconds), max(name.longest, seconds)
        power = frexp(seconds)[1] if seconds > 0 else -30
        name.histogram[power] = name.histogram.get(power, 0) + 1
        if worker is not None:
            worker.tasks += 1
            worker.seconds += seconds
        if failed:
            name.failed += 1
            self._fail(task, worker, facts)
        else:
            name.result_bytes += facts.get("nbytes") or 0
        if len(self._slowest) < SLOWEST or seconds > self._slowest[0][0]:
            self._keep(seconds, task, worker.name if worker is not None else address, begin)

    def again(self, task: Any, stimulus: str) -> None:
        """Note that a task must be run once more: it may retry, or its worker or its result is gone."""
        name = self.named(task.prefix.name)
        if stimulus.startswith(ERRED):
            name.retried += 1
            return
        if stimulus.startswith(OWN_WISH):
            return
        name.rerun += 1
        if len(self._again) >= STIMULI:
            del self._again[next(iter(self._again))]
        self._again[stimulus] = self._again.get(stimulus, 0) + 1

    def joined(self, state: Any, now: float | None) -> None:
        """Note a worker; ``now`` is None for those that were there before."""
        if state.address in self._workers or len(self._workers) >= WORKERS:
            return
        name = display_name(state.name)
        worker = self._workers[state.address] = Worker(name, self._by_worker.row(name))
        worker.threads, worker.limit, worker.joined = state.nthreads, state.memory_limit or 0, now

    def left(self, address: str, stimulus: str) -> None:
        """Note that a worker is gone."""
        worker, again = self._workers.get(address), self._again.pop(stimulus, 0)
        if worker is not None:
            worker.left, worker.rerun = time(), worker.rerun + again

    def sample(self, scheduler: Any, now: float) -> None:
        """Look at the workers; not more often than makes sense."""
        if now - self._sampled < LEAST_PAUSE:
            return
        self._sampled = now
        threads = processing = memory = managed = spilled = 0
        for state in scheduler.workers.values():
            held = state.memory
            threads, processing = threads + state.nthreads, processing + len(state.processing)
            memory, managed, spilled = (
                memory + held.process,
                managed + held.managed,
                spilled + held.spilled,
            )
            worker = self._workers.get(state.address)
            if worker is not None:
                worker.peak = max(worker.peak, held.process)
                worker.spilled = max(worker.spilled, held.spilled)
        row = [now, len(scheduler.workers), threads, processing, memory, managed, spilled]
        self._samples.add(row)

    def to_dict(self, scheduler: Any) -> dict[str, Any]:
        """Return the record as plain data; times are of the scheduler's clock."""
        before = self._before
        metrics = [
            [*map(str, key), value - before.get(key, 0)]
            for key, value in scheduler.cumulative_worker_metrics.items()
            if isinstance(key, tuple) and value != before.get(key, 0)
        ]
        return {
            "now": time(),
            "began": self._began,
            "names": {name: sums.to_dict() for name, sums in self._names.items()},
            "workers": [worker.to_dict() for worker in self._workers.values()],
            "by_name": self._by_name.to_dict(),
            "by_worker": self._by_worker.to_dict(),
            "samples": self._samples.rows,
            "slowest": [
                [s, name, key, worker, at] for s, _, name, key, worker, at in self._slowest
            ],
            "failures": self._failures,
            "metrics": metrics,
        }

    def _keep(self, seconds: float, task: Any, worker: str, begin: float) -> None:
        kept = (seconds, self._ended, task.prefix.name, _text(task.key), worker, begin)
        if len(self._slowest) < SLOWEST:
            heappush(self._slowest, kept)
        else:
            heapreplace(self._slowest, kept)

    def _fail(self, task: Any, worker: Worker | None, facts: dict[str, Any]) -> None:
        if len(self._failures) < FAILURES:
            said = _text(facts.get("exception_text") or "the worker died")
            where = worker.name if worker is not None else ""
            self._failures.append([time(), task.prefix.name, _text(task.key), where, said])


def _text(value: Any) -> str:
    return str(value)[:LONGEST_TEXT]

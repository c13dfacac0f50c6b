"""What a report holds; docs/reference/run-json.md describes the same for readers of ``run.json``.

All times are seconds, from the run's start where a moment is meant; all sizes are bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from math import isfinite
from typing import Any

FORMAT = 1
RUNNING = "running"  # the phase of the flow itself


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was run, where, with what, and how it ended; ``start`` and ``finish`` are RFC 3339.

    ``shared`` is whether other runs may have used the same workers, ``elastic`` whether they come and go.
    """

    name: str
    kind: str
    mode: str
    shared: bool = False
    elastic: bool = False
    tag: str = ""
    address: str = ""
    dashboard: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    start: str = ""
    finish: str = ""
    seconds: float = 0.0
    outcome: str = ""
    reason: str = ""
    message: str = ""
    exit_code: int = 0
    exception: str | None = None
    traceback: str = ""
    result: Any = None


@dataclass(frozen=True)
class Mark:
    """The moment at which a phase began."""

    name: str
    at: float


@dataclass(frozen=True)
class Phase:
    """A part of the run's time."""

    name: str
    start: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Name:
    """All tasks with one name; ``histogram`` has upper bounds of duration and counts."""

    name: str
    count: int = 0
    failed: int = 0
    retried: int = 0
    rerun: int = 0
    seconds: float = 0.0
    shortest: float = 0.0
    longest: float = 0.0
    histogram: tuple[tuple[float, int], ...] = ()
    transfer: float = 0.0
    disk: float = 0.0
    result_bytes: int = 0
    processor: float | None = None

    @property
    def mean(self) -> float:
        """The mean duration of a task."""
        return self.seconds / self.count if self.count else 0.0


@dataclass(frozen=True)
class Task:
    """One of the slowest tasks."""

    seconds: float
    name: str
    key: str
    worker: str
    start: float


@dataclass(frozen=True)
class Failure:
    """A task that failed."""

    at: float
    name: str
    key: str
    worker: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One worker; ``joined`` is None if it was there before, ``left`` if it stayed."""

    name: str
    threads: int = 0
    limit: int = 0
    joined: float | None = None
    left: float | None = None
    tasks: int = 0
    seconds: float = 0.0
    transfer: float = 0.0
    peak: int = 0
    spilled: int = 0
    rerun: int = 0


@dataclass(frozen=True)
class Sample:
    """The cluster at one moment; ``processing`` are the tasks that workers have."""

    at: float
    workers: int
    threads: int
    processing: int
    memory: int
    managed: int
    spilled: int


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Seconds of computing in buckets of equal width, by series."""

    start: float = 0.0
    width: float = 0.0
    series: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What went between workers and to the disk; the seconds are summed over the workers."""

    sent_bytes: int = 0
    network_seconds: float = 0.0
    spilled_bytes: int = 0
    restored_bytes: int = 0
    disk_seconds: float = 0.0
    serialize_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Record:
    """Everything about one run. ``missing`` says in words what could not be recorded."""

    run: Run
    phases: tuple[Phase, ...] = ()
    names: tuple[Name, ...] = ()
    slowest: tuple[Task, ...] = ()
    failures: tuple[Failure, ...] = ()
    workers: tuple[Worker, ...] = ()
    samples: tuple[Sample, ...] = ()
    by_name: Timeline = Timeline()
    by_worker: Timeline = Timeline()
    moved: Moved = Moved()
    missing: tuple[str, ...] = ()

    @property
    def tasks(self) -> int:
        """How many tasks have ended."""
        return sum(name.count for name in self.names)

    @property
    def failed(self) -> int:
        """How many of them have failed."""
        return sum(name.failed for name in self.names)

    @property
    def computing(self) -> float:
        """Seconds of computing, summed over the threads."""
        return sum(name.seconds for name in self.names)

    @property
    def running(self) -> Phase | None:
        """The time in which the flow ran."""
        return next((phase for phase in self.phases if phase.name == RUNNING), None)

    @property
    def capacity(self) -> float:
        """Seconds of computing that the workers' threads could have done while the flow ran."""
        running = self.running
        if running is None:
            return 0.0
        begin, end = running.start, running.start + running.seconds
        return sum(
            worker.threads
            * max(0.0, min(end, _or(worker.left, end)) - max(begin, _or(worker.joined, begin)))
            for worker in self.workers
        )

    @property
    def peak_memory(self) -> int:
        """The most memory that all workers together had at one moment."""
        return max((sample.memory for sample in self.samples), default=0)

    @property
    def peak_spilled(self) -> int:
        """The most that was on the workers' disks at one moment."""
        return max((sample.spilled for sample in self.samples), default=0)

    @property
    def most_workers(self) -> int:
        """The most workers at one moment."""
        return max((sample.workers for sample in self.samples), default=len(self.workers))

    def to_dict(self, findings: list[dict[str, str]]) -> dict[str, Any]:
        """Return the JSON form of ``run.json``."""
        totals = {
            "tasks": self.tasks,
            "failed": self.failed,
            "retried": sum(name.retried for name in self.names),
            "rerun": sum(name.rerun for name in self.names),
            "computingSeconds": self.computing,
            "capacitySeconds": self.capacity,
            "workers": self.most_workers,
            "peakMemoryBytes": self.peak_memory,
            "peakSpilledBytes": self.peak_spilled,
            "resultBytes": sum(name.result_bytes for name in self.names),
        }
        whole = {each.name: plain(getattr(self, each.name)) for each in fields(self)}
        run = whole.pop("run")
        return {
            "dask-flows": FORMAT,
            "run": run,
            "totals": plain(totals),
            "findings": findings,
            **{_camel(key): value for key, value in whole.items()},
        }


def plain(value: Any) -> Any:
    """Return dataclasses as plain data with names in camel case, numbers without needless digits."""
    if is_dataclass(value):
        return {_camel(each.name): plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, float):
        return round(value, 6) if isfinite(value) else str(value)  # JSON has no infinity
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _or(value: float | None, instead: float) -> float:
    return instead if value is None else value

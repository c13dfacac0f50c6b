"""What the report's tests share: a record that has everything, and pieces to change."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dask_flows.report.model import (
    Failure,
    Moved,
    Name,
    Phase,
    Record,
    Run,
    Sample,
    Task,
    Timeline,
    Worker,
)  # fmt: skip

MIB = 2**20


def full_record() -> Record:
    """Return a record of 20 s on two workers in which nothing is wrong."""
    inc = Name(name="inc", count=100, seconds=18.0, shortest=0.1, longest=0.3,
               histogram=((0.125, 10), (0.25, 80), (0.5, 10)), result_bytes=2800, processor=17.0)  # fmt: skip
    add = Name(name="add", count=50, seconds=12.0, shortest=0.2, longest=0.4,
               histogram=((0.25, 30), (0.5, 20)), result_bytes=1400, processor=11.0)  # fmt: skip
    return Record(
        run=Run(
            name="flow.py:main", kind="flow", mode="local", tag="run-1", address="tcp://127.0.0.1:1",
            parameters={"rows": 10}, versions={"python": "3.11.7", "dask": "2026.8.0"},
            start="2026-11-21T05:00:00Z", finish="2026-11-21T05:00:20Z", seconds=20.0,
            outcome="Succeeded", result={"answer": 42},
        ),
        phases=(
            Phase("prepare", 0.0, 0.2), Phase("scheduler", 0.2, 0.8), Phase("workers", 1.0, 1.0),
            Phase("running", 2.0, 18.0),
        ),
        names=(inc, add),
        slowest=(Task(0.4, "add", "add-1", "worker-1", 12.0), Task(0.3, "inc", "inc-1", "worker-0", 3.0)),
        workers=(
            Worker(name="worker-0", threads=1, limit=512 * MIB, tasks=75, seconds=15.0, peak=200 * MIB),
            Worker(name="worker-1", threads=1, limit=512 * MIB, tasks=75, seconds=15.0, peak=210 * MIB),
        ),
        samples=tuple(
            Sample(2.0 + n, 2, 2, 4, 300 * MIB + n * MIB, 100 * MIB, 0) for n in range(18)
        ),
        by_name=Timeline(start=2.0, width=2.0, series={"inc": (2.0,) * 9, "add": (1.3,) * 9}),
        by_worker=Timeline(start=2.0, width=2.0, series={"worker-0": (1.7,) * 9, "worker-1": (1.6,) * 9}),
        moved=Moved(sent_bytes=10 * MIB, network_seconds=0.4),
    )  # fmt: skip


def change_name(record: Record, index: int, **changes: Any) -> Record:
    """Return the record with one name changed."""
    names = list(record.names)
    names[index] = replace(names[index], **changes)
    return replace(record, names=tuple(names))


def change_worker(record: Record, index: int, **changes: Any) -> Record:
    """Return the record with one worker changed."""
    workers = list(record.workers)
    workers[index] = replace(workers[index], **changes)
    return replace(record, workers=tuple(workers))


def change_run(record: Record, **changes: Any) -> Record:
    """Return the record of another run."""
    return replace(record, run=replace(record.run, **changes))


@pytest.fixture
def record() -> Record:
    """Return a record in which nothing is wrong."""
    return full_record()


@pytest.fixture
def failed_record() -> Record:
    """Return a record of a run that failed, with everything in it that a page can show."""
    one = change_name(full_record(), 0, failed=3, rerun=2, retried=1, disk=3.0, transfer=12.0)
    one = change_worker(one, 1, spilled=300 * MIB, joined=4.0, left=15.0, rerun=2)
    one = change_run(
        one, outcome="Failed", reason="FlowFailed", message="ValueError: no", exit_code=1,
        traceback="Traceback …\nValueError: no",
    )  # fmt: skip
    failures = (Failure(5.0, "inc", "inc-7", "worker-0", "ValueError('seven')"),)
    samples = tuple(replace(sample, spilled=100 * MIB) for sample in one.samples)
    missing = ("The scheduler did not answer at the end.",)
    return replace(one, failures=failures, samples=samples, missing=missing)


@pytest.fixture
def changed() -> dict[str, Callable[..., Record]]:
    """Return the ways to change a record."""
    return {"name": change_name, "worker": change_worker, "run": change_run}

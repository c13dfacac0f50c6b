"""Rules of reading what the scheduler recorded: the run's own time, and holes that are named."""

import json
from typing import Any

import pytest

from dask_flows.report.model import Mark, Record, Run, Worker
from dask_flows.report.reading import NO_ANSWER, NO_TASKS, NOTHING, read

RUN = Run(name="flow.py:main", kind="flow", mode="local", seconds=20.0)
MARKS = [Mark("prepare", 0.0), Mark("scheduler", 1.0), Mark("running", 4.0)]
NAME = {
    "count": 2, "failed": 0, "retried": 0, "rerun": 0, "seconds": 3.0, "shortest": 1.0, "longest": 2.0,
    "histogram": [[0, 1], [1, 1]], "transfer": 0.5, "disk": 0.0, "result_bytes": 7,
}  # fmt: skip
WORKER = {"name": "worker-0", "threads": 1, "limit": 10, "joined": None, "left": 5015.0, "tasks": 2, "seconds": 3.0,
          "transfer": 0.5, "peak": 9, "spilled": 0, "rerun": 0}  # fmt: skip
RAW: dict[str, Any] = {  # the scheduler's clock says 5,018 when 18 s of the run have passed
    "now": 5018.0, "began": 5002.0, "names": {"inc": NAME}, "workers": [WORKER],
    "samples": [[5003.0, 1, 1, 2, 300, 100, 0]],
    "slowest": [[1.0, "inc", "inc-1", "worker-0", 5005.0], [2.0, "inc", "inc-2", "worker-0", 5007.0]],
    "failures": [[5006.0, "inc", "inc-3", "worker-0", "ValueError()"]],
    "by_name": {"start": 5002.0, "width": 0.05, "series": {"inc": [0.1], "none": []}},
    "by_worker": {"start": 5002.0, "width": 0.05, "series": {"worker-0": [0.1]}},
    "metrics": [
        ["execute", "inc", "thread-cpu", "seconds", 2.5], ["gather-dep", "network", "seconds", 1.5],
        ["get-data", "network", "seconds", 9.0], ["get-data", "memory-read", "bytes", 30],
        ["get-data", "disk-read", "bytes", 12], ["memory-monitor", "disk-write", "bytes", 50],
        ["execute", "inc", "disk-read", "seconds", 0.25], ["execute", "inc", "deserialize", "seconds", 0.125],
        ["execute", "inc", "memory-read", "count", 4], ["execute", "inc", "memory-read", "bytes", 99],
    ],
}  # fmt: skip


def test_all_times_are_seconds_of_the_run() -> None:
    """Whatever the scheduler's clock says."""
    record = _read(RAW)
    assert [task.start for task in record.slowest] == [7.0, 5.0]
    assert record.failures[0].at == 6.0
    assert record.workers[0].left == 15.0
    assert (record.samples[0].at, record.by_name.start) == (3.0, 2.0)
    assert [(p.name, p.start, p.seconds) for p in record.phases] == [
        ("prepare", 0.0, 1.0), ("scheduler", 1.0, 3.0), ("running", 4.0, 16.0),
    ]  # fmt: skip


def test_fine_metrics_are_added_up() -> None:
    """Each kind by its own unit, and no kind twice."""
    record = _read(RAW)
    assert record.names[0].processor == 2.5
    assert record.names[0].histogram == ((1.0, 1), (2.0, 1))
    moved = record.moved
    assert (moved.sent_bytes, moved.network_seconds) == (42, 1.5)
    assert (moved.spilled_bytes, moved.restored_bytes, moved.disk_seconds) == (50, 12, 0.25)
    assert moved.serialize_seconds == 0.125


def test_what_is_missing_is_said() -> None:
    """No cluster, a scheduler without this package, a scheduler that is gone."""
    outside = {"now": 5018.0, "workers": [{"name": "a", "threads": 2}], "samples": []}
    assert read(RUN, MARKS, None, at=0.0, last=False).missing == (NOTHING,)
    assert read(RUN, MARKS, outside, at=18.0, last=True).missing == (NO_TASKS,)
    assert read(RUN, MARKS, RAW, at=18.0, last=False).missing == (NO_ANSWER,)
    assert _read(RAW).missing == ()


def test_workers_are_sorted_as_people_count() -> None:
    """Worker 10 comes after worker 9."""
    names = ["worker-10", "worker-9", "pod-a-2", "pod-a-10", "tcp://10.0.0.1:99"]
    raw = {**RAW, "workers": [{**WORKER, "name": name} for name in names]}
    assert [worker.name for worker in _read(raw).workers] == [
        "pod-a-2", "pod-a-10", "tcp://10.0.0.1:99", "worker-9", "worker-10",
    ]  # fmt: skip


def test_threads_that_came_late_or_went_early_could_do_less() -> None:
    """Capacity is what was there while the flow ran."""
    record = _read(RAW)
    late = Worker(name="late", threads=2, joined=10.0)
    assert record.capacity == pytest.approx(11.0)
    assert Record(run=RUN, phases=record.phases, workers=(late,)).capacity == pytest.approx(20.0)
    assert Record(run=RUN, workers=(late,)).capacity == 0.0


def test_the_json_form_is_stable() -> None:
    """Programs read it: a change of these names is a change of the format number."""
    told = _read(RAW).to_dict([{"level": "info", "text": "x"}])
    assert list(told) == [
        "dask-flows", "run", "totals", "findings", "phases", "names", "slowest", "failures", "workers", "samples",
        "byName", "byWorker", "moved", "missing",
    ]  # fmt: skip
    assert told["dask-flows"] == 1
    assert list(told["run"]) == [
        "name", "kind", "mode", "shared", "elastic", "tag", "address", "dashboard", "parameters", "versions", "start", "finish",
        "seconds", "outcome", "reason", "message", "exitCode", "exception", "traceback", "result",
    ]  # fmt: skip
    assert list(told["totals"]) == [
        "tasks", "failed", "retried", "rerun", "computingSeconds", "capacitySeconds", "workers",
        "peakMemoryBytes", "peakSpilledBytes", "resultBytes",
    ]  # fmt: skip
    assert list(told["names"][0]) == [
        "name", "count", "failed", "retried", "rerun", "seconds", "shortest", "longest", "histogram", "transfer",
        "disk", "resultBytes", "processor",
    ]  # fmt: skip
    assert list(told["workers"][0]) == [
        "name", "threads", "limit", "joined", "left", "tasks", "seconds", "transfer", "peak", "spilled", "rerun",
    ]  # fmt: skip
    assert told["samples"][0] == {
        "at": 3.0, "workers": 1, "threads": 1, "processing": 2, "memory": 300, "managed": 100, "spilled": 0,
    }  # fmt: skip
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_numbers_that_json_does_not_have_become_text() -> None:
    """A parameter may be infinite."""
    run = Run(name="f", kind="flow", mode="local", parameters={"limit": float("inf")})
    told = Record(run=run).to_dict([])
    assert told["run"]["parameters"] == {"limit": "inf"}


def _read(raw: dict[str, Any]) -> Record:
    return read(RUN, MARKS, raw, at=18.0, last=True)

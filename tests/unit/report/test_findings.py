"""Rules of findings: each says what the numbers mean, and only when they mean it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dask_flows.report.findings import find
from dask_flows.report.model import Failure, Phase, Record, Timeline

MIB = 2**20
Changed = dict[str, Callable[..., Record]]
_START = (Phase("prepare", 0.0, 1.0), Phase("scheduler", 1.0, 1.0), Phase("workers", 2.0, 6.0),
          Phase("running", 8.0, 12.0))  # fmt: skip
_TAIL = Timeline(
    start=2.0, width=1.0, series={"inc": (2.0,) * 10, "last": (0.0,) * 10 + (1.0,) * 8}
)

# what is changed of a run in which all is well, and what is said then
CASES: list[tuple[str, list[tuple[str, tuple[Any, ...], dict[str, Any]]], dict[str, Any], str]] = [
    ("failed", [("name", (0,), {"failed": 3})],
     {"failures": (Failure(5.0, "inc", "inc-1", "w", "ValueError('x')"),)},
     "bad: 3 tasks of `inc` failed: ValueError('x')"),
    ("failed without a word", [("name", (0,), {"failed": 1})], {}, "bad: 1 task of `inc` failed"),
    ("rerun", [("name", (0,), {"rerun": 3}), ("worker", (1,), {"rerun": 3, "left": 9.0})], {},
     "warn: 3 tasks were run again because worker-1 went away."),
    ("rerun for nobody", [("name", (0,), {"rerun": 1})], {},
     "warn: 1 task was run again because its result was lost."),
    ("retried", [("name", (0,), {"retried": 5})], {},
     "warn: 5 tasks failed and ran again, as their `retries` allow."),
    ("start-up", [], {"phases": _START},
     "info: Start-up took 40 % of the run (8.00 s), most of it waiting for workers (6.00 s)."),
    ("no tasks", [], {"names": (), "by_name": Timeline()},
     "info: The flow gave Dask no task: all its work was done in the runner itself."),
    ("waited", [("name", (0,), {"seconds": 3.0}), ("name", (1,), {"seconds": 2.0})], {},
     ("warn: Workers waited 15.5 s of 18.0 s for tasks: fewer threads would do, or the flow could give them more "
      "to do at once.")),
    ("busy", [("name", (0,), {"seconds": 22.0})], {}, "good: The workers computed 94 % of the time."),
    ("tail", [], {"by_name": _TAIL},
     "warn: For the last 7.00 s one thread of 2 worked, on `last`: the others had nothing left to do."),
    ("tiny", [("name", (0,), {"count": 10_000, "seconds": 2.0})], {},
     ("warn: `inc`: 10,000 tasks of 200 µs each. Dask needs up to 1 ms for a task of its own: they are too small, "
      "batch them.")),
    ("heavy", [("name", (0,), {"seconds": 19.0})], {},
     "info: 61 % of the computing time is `inc`: 100 tasks of 190 ms on average."),
    ("uneven", [("name", (0,), {"longest": 6.0})], {},
     "info: The longest task of `inc` took 6.00 s, the average one 180 ms: the work is divided unevenly."),
    ("off the processor", [("name", (0,), {"processor": 0.9})], {},
     ("info: Little of their time on the processor: `inc` (5 %). They wait, for data from outside or for a free "
      "core; if it is data, more threads per worker let more of them wait at once.")),
    ("moving", [("name", (0,), {"transfer": 40.0})], {},
     ("warn: Tasks waited 40.0 s for data of other workers, longer than 30.0 s of computing: fewer, larger pieces "
      "travel less.")),
    ("spilled", [("worker", (1,), {"spilled": 1288490189})], {},
     ("warn: Memory was short, results went to disk on worker-1 (1.20 GiB): give workers more memory, or smaller "
      "pieces.")),
    ("full", [("worker", (0,), {"peak": 500 * MIB})], {}, "warn: Memory was nearly full on worker-0 (98 %)."),
    ("disk", [("name", (0,), {"disk": 5.0})], {},
     "warn: Tasks waited 5.00 s for results to come from the disk or go there."),
    ("idle worker", [("worker", (1,), {"tasks": 0, "seconds": 0.0})], {}, "warn: worker-1 did no task at all."),
    ("imbalance", [("worker", (1,), {"seconds": 5.0})], {},
     "info: worker-0 computed 15.0 s, worker-1 5.00 s: the work was not spread evenly."),
    ("lost for nothing", [("worker", (1,), {"left": 9.0})], {},
     "info: worker-1 went away during the run; no task had to be run again."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "more", "said"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_each_trouble_has_its_sentence(
    record: Record, changed: Changed, changes: Any, more: dict[str, Any], said: str
) -> None:
    """With numbers and units, and with advice where there is one."""
    assert said not in _said(record)
    for what, place, fields in changes:
        record = changed[what](record, *place, **fields)

    assert said in _said(replace(record, **more))


def test_a_run_without_trouble_says_so(record: Record) -> None:
    """And nothing else that is bad."""
    assert _said(record)[-1].startswith("good: Nothing stands out")
    assert {one.level for one in find(record)} <= {"info", "good"}


def test_the_worst_comes_first(failed_record: Record) -> None:
    """Failures before warnings before notes."""
    levels = [one.level for one in find(failed_record)]
    assert levels == sorted(levels, key=["bad", "warn", "info", "good"].index)
    assert levels[0] == "bad"


def test_nothing_is_said_of_workers_that_others_use_too(record: Record, changed: Changed) -> None:
    """On a shared cluster idle threads may have worked for somebody else."""
    shared = changed["run"](changed["name"](record, 0, seconds=3.0, processor=0.1), shared=True)
    shared = changed["worker"](shared, 1, tasks=0)
    assert not [said for said in _said(shared) if "waited" in said or "no task at all" in said]


def test_a_run_of_which_nothing_is_known_has_no_findings(record: Record) -> None:
    """Nothing is made up."""
    assert find(Record(run=record.run)) == []


def test_long_lists_are_cut(record: Record, changed: Changed) -> None:
    """A sentence stays a sentence on a thousand workers."""
    worker = record.workers[0]
    many = tuple(replace(worker, name=f"w-{n}", spilled=n + 1) for n in range(1000))
    said = next(s for s in _said(replace(record, workers=many)) if "disk" in s)
    assert "w-999 (0.98 KiB), w-998 (999 B), w-997 (998 B) and 997 others" in said


def _said(record: Record) -> list[str]:
    return [f"{one.level}: {one.text}" for one in find(record)]

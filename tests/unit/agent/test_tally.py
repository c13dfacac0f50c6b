"""Counting runs change by change."""

import time
from datetime import timedelta
from typing import Any

import pytest

from dask_flows.agent.tally import MOST_REASONS, OTHER, Tally, Words
from dask_flows.agent.views import RunView
from dask_flows.flowrun import FlowRun
from fakes.clock import START
from samples import UID


def view(created: int = 0, *, suspend: bool = False, **status: Any) -> RunView:
    """Return a run that was created some seconds after the start of time."""
    moment = (START + timedelta(seconds=created)).strftime("%Y-%m-%dT%H:%M:%SZ")
    meta = {"name": "a", "namespace": "ns", "uid": UID, "creationTimestamp": moment}
    spec = {"command": ["true"], "suspend": suspend}
    return RunView(FlowRun.parse({"metadata": meta, "spec": spec, "status": status}), 1, False)


def test_a_run_is_counted_once_wherever_it_is() -> None:
    """It moves from phase to phase, and is gone when it is deleted."""
    tally = Tally(Words())
    path = [
        view(),
        view(phase="Starting", attempt=1),
        view(phase="Failed", reason="OutOfMemory", attempt=1),
    ]
    for old, new in zip([None, *path], [*path, None], strict=True):
        tally.change("a", old, new)
        assert sum(tally.phases().values()) == (new is not None)
        if new is not None:
            assert tally.phases()[new.run.phase, str(new.run.status.get("reason") or "")] == 1


@pytest.mark.parametrize(
    ("run", "waits"),
    [
        (view(10), 90),
        (view(10, phase="Pending", reason="Queued"), 90),
        (view(10, suspend=True, phase="Suspended"), None),
        (view(10, suspend=True), None),
        (view(10, phase="Starting", attempt=1), None),
        (view(10, phase="Succeeded", attempt=1), None),
        (view(10, phase="Pending", reason="NodeLost", attempt=1, retryTime="2026-01-01T00:00:40Z"), None),
        (view(10, phase="Pending", reason="Queued", attempt=1, retryTime="2026-01-01T00:00:40Z"), 60),
    ],
)  # fmt: skip
def test_a_run_waits_while_only_a_place_is_missing(run: RunView, waits: float | None) -> None:
    """From its creation, or from when it may be tried again; a pause before a retry is no waiting."""
    tally = Tally(Words())
    tally.change("a", None, run)

    assert tally.waiting == (waits is not None)
    assert tally.oldest(START + timedelta(seconds=100)) == (waits or 0)


def test_the_oldest_run_counts() -> None:
    """Whatever order they were seen in."""
    tally = Tally(Words())
    for name, created in (("b", 50), ("a", 20), ("c", 70)):
        tally.change(name, None, view(created))
    assert tally.oldest(START + timedelta(seconds=100)) == 80

    tally.change("a", view(20), None)
    assert tally.oldest(START + timedelta(seconds=100)) == 50


def test_reasons_of_flows_do_not_grow_without_bound() -> None:
    """A flow that names a new reason each time, or a strange one, is counted as Other."""
    words = Words()

    assert words.of("OutOfMemory") == "OutOfMemory"
    assert words.of('x"} 1') == words.of("x" * 100) == OTHER
    shown = {words.of(f"Mine{number}") for number in range(1000)}
    assert len(shown) == MOST_REASONS  # Other is one of them
    assert words.of("OutOfMemory") == "OutOfMemory"


def test_many_finished_runs_cost_a_scrape_nothing() -> None:
    """Reading the counts walks over no runs: 10,000 of them are read hundreds of times at once."""
    tally, run = Tally(Words()), view(phase="Succeeded", attempt=1)
    for number in range(10_000):
        tally.change(str(number), None, run)

    began = time.process_time()
    for _ in range(500):
        assert tally.phases() == {("Succeeded", ""): 10_000}
        assert tally.oldest(START) == 0
    assert time.process_time() - began < 2.0  # 1 ms would be generous for one

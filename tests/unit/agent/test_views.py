"""What the agent keeps of objects: enough to decide, little enough for thousands, whatever comes."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import pytest

from dask_flows.agent.cache import Cache
from dask_flows.agent.views import JobView, PodView, RunView
from dask_flows.deadline import SystemClock
from dask_flows.kube.api import Event, Page
from samples import flow_run_data


def finished(number: int) -> dict[str, Any]:
    """Return a large run that is over and cleaned up."""
    data = flow_run_data(f"run-{number}", uid=f"uid-{number}")
    data["spec"] = {"flow": "a.b:c", "parameters": {"text": "x" * 2000}, "env": []}
    data["status"] = {
        "phase": "Succeeded",
        "attempt": 1,
        "result": "y" * 2000,
        "message": "z" * 500,
        "attempts": [{"attempt": 1, "reason": "Succeeded"}],
        "conditions": [
            {"type": "Finished", "status": "True", "message": "m" * 300},
            {"type": "CleanedUp", "status": "True", "message": "m" * 300},
        ],
    }
    return data


def test_a_finished_run_costs_next_to_nothing() -> None:
    """Less than 2 KiB each, so that ten thousand are no problem."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    views = [RunView.of(finished(number)) for number in range(200)]
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert (after - before) / len(views) < 2048


def stored(number: int) -> dict[str, Any]:
    """Return a finished run as an API server holds it, with everything that kubectl leaves there."""
    data = json.loads(json.dumps(finished(number)))
    name = data["metadata"]["name"]
    fields = {f"f:{key}": {"f:x": {}} for key in range(20)}
    data["metadata"] |= {
        "resourceVersion": str(1000 + number),
        "generation": 1,
        "labels": {"team": f"team-{number % 7}"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x" * 900},
        "managedFields": [{"manager": f"m{n}", "fieldsV1": fields} for n in range(3)],
    }
    data["status"] |= {
        "mode": "ephemeral",
        "jobName": f"f-{name}-0a1b2c3d-1",
        "startedBy": f"00000000-0000-4000-8000-{number:012d}",
        "startTime": "2026-01-01T00:00:00Z",
        "finishTime": "2026-01-01T00:01:00Z",
        "attempts": [{"attempt": 1, "jobName": f"f-{name}-1", "reason": "Succeeded"}] * 3,
    }
    return data


class Many:
    """An API server that makes its pages up when it is asked, so that they cost nothing before."""

    def __init__(self, count: int) -> None:
        self.count = count

    async def list(self, *_: Any, more: str = "", limit: int = 500, **__: Any) -> Page:
        """Return one page."""
        start = int(more or 0)
        items = [stored(number) for number in range(start, min(start + limit, self.count))]
        rest = start + limit
        return Page(items, "99999", str(rest) if rest < self.count else "")

    async def watch(self, *_: Any, **__: Any) -> AsyncGenerator[Event, None]:
        """Stay silent."""
        await asyncio.sleep(3600)
        yield Event("BOOKMARK", {})


async def test_thousands_of_finished_runs_fit() -> None:
    """Row 27: below 2 KiB each with all indexes, and a list is read page by page."""
    count = 2_000  # each costs the same; tracing ten thousand would only take longer
    many: Any = Many(count)
    cache = Cache(many, "ns", "r", SystemClock(), lambda _: None)
    tracemalloc.start()
    task = asyncio.create_task(cache.runs.run())
    await asyncio.wait_for(cache.runs.synced.wait(), 60)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert len(cache.runs) == count
    assert held / count < 2 * 1024
    assert peak - held < count * 16 * 1024  # a page of whole objects, never all of them
    assert cache.run_by_uid("uid-77") is not None


def test_a_run_at_work_keeps_its_spec_but_not_its_bulk() -> None:
    """Parameters and files are read again by the one step that needs them."""
    data = flow_run_data(parameters={"a": 1}, flow="a.b:c", deadlineSeconds=7)
    run = RunView.of(data).run

    assert (run.spec.parameters, run.spec.deadline, run.raw) == ({}, 7, {})


@pytest.mark.parametrize(
    "spec",
    [None, {}, 5, {"flow": 1}, {"flow": "a:b", "command": ["c"]}, {"flow": "a:b", "new": 1}],
    ids=str,
)
def test_a_bad_spec_is_a_view_that_says_so(spec: Any) -> None:
    """It never stops the informer."""
    assert RunView.of({**flow_run_data(), "spec": spec}).invalid


@pytest.mark.parametrize("status", [None, 5, [], {"conditions": None}], ids=str)
def test_a_bad_status_reads_as_empty(status: Any) -> None:
    """An object from before the CRD had a schema."""
    assert RunView.of({**flow_run_data(), "status": status}).run.phase == "Pending"


@pytest.mark.parametrize(
    "labels",
    [None, {}, {"dask-flows.dev/attempt": "x"}, {"dask-flows.dev/attempt": "-1"}],
    ids=str,
)
def test_objects_with_odd_labels_belong_to_no_attempt(labels: Any) -> None:
    """And do no harm."""
    meta = {"name": "n", "uid": "u", "labels": labels}

    assert JobView.of({"metadata": meta}).attempt == 0
    assert PodView.of({"metadata": meta}).attempt == 0

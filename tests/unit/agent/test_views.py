"""What the agent keeps of objects: enough to decide, little enough for thousands, whatever comes."""

import tracemalloc
from typing import Any

import pytest

from dask_flows.agent.views import JobView, PodView, RunView
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

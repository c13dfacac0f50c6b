"""Rules of reading FlowRuns: what the agent relies on is checked, whatever schema the cluster has."""

from typing import Any

import pytest

from dask_flows.errors import UsageError
from dask_flows.flowrun import FlowRun
from samples import flow_run, flow_run_data


def test_a_new_run_is_pending_and_has_no_attempt() -> None:
    """Before the agent has seen it there is no status."""
    run = flow_run()

    assert (run.phase, run.attempt, run.terminal) == ("Pending", 0, False)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"parameters": {}}, "exactly one of flow and command"),
    ({"flow": "a:b", "command": ["c"]}, "exactly one of flow and command"),
    ({"flow": 5}, "spec.flow"),
    ({"flow": "a:b", "workers": []}, "spec.workers"),
    ({"flow": "a:b", "workers": {"replicas": "2"}}, "spec.workers.replicas"),
    ({"flow": "a:b", "workers": {"replicas": 2, "minimum": 1}}, "spec.workers"),
    ({"flow": "a:b", "cancel": "yes"}, "spec.cancel"),
    ({"flow": "a:b", "deadlineSeconds": 1.5}, "spec.deadlineSeconds"),
    ({"flow": "a:b", "nonsense": 1}, "unknown field spec.nonsense"),
    ({"flow": "a:b", "workers": {"gpus": 1}}, "unknown field spec.workers.gpus"),
    ({"flow": "a:b", "scheduler": {"pod": {}}}, "unknown field spec.scheduler.pod"),
    ({"flow": "a:b", "parameters": [1]}, "spec.parameters"),
    ({"flow": "a:b", "env": {"A": "b"}}, "spec.env"),
]


@pytest.mark.parametrize(("spec", "complaint"), BAD, ids=[b[1] for b in BAD])
def test_each_mistake_is_named_with_its_field(spec: dict[str, Any], complaint: str) -> None:
    """The message goes into the run's status."""
    with pytest.raises(UsageError) as caught:
        FlowRun.parse(flow_run_data(**spec))

    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("workers", "bounds"),
    [
        ({}, (1, 2)),
        ({"replicas": 4}, (4, 4)),
        ({"replicas": 0}, (0, 0)),
        ({"minimum": 3}, (3, 3)),
        ({"maximum": 8}, (1, 8)),
        ({"maximum": 1}, (1, 1)),
        ({"minimum": 2, "maximum": 6}, (2, 6)),
        ({"minimum": 0, "maximum": 6}, (0, 6)),
    ],
)
def test_workers_fill_up_from_the_release(workers: dict[str, int], bounds: tuple[int, int]) -> None:
    """The release says 1 to 2; what a run says wins, and never crosses."""
    assert flow_run(workers=workers).spec.worker_bounds(1, 2) == bounds


def test_a_minimum_above_the_maximum_is_refused() -> None:
    """There is no such cluster."""
    with pytest.raises(UsageError, match="minimum 5 is more than maximum 2"):
        flow_run(workers={"minimum": 5, "maximum": 2}).spec.worker_bounds(1, 2)

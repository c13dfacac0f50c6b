"""Rules of what the commands show."""

from datetime import UTC, datetime

import pytest

from dask_flows.cli.runs import age, facts, row
from dask_flows.submission.following import describe
from samples import flow_run_data


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (-3, "0s"), (59, "59s"), (60, "1m"), (61, "1m1s"), (3600, "1h"), (3660, "1h1m"),
     (90_000, "1d1h"), (86_400 * 40 + 59, "40d")],
)  # fmt: skip
def test_ages_are_written_as_kubectl_does(seconds: float, text: str) -> None:
    """At most two units."""
    assert age(seconds) == text


def test_a_run_that_nobody_has_seen_is_pending() -> None:
    """The columns are there before the agent is."""
    cells = row(flow_run_data(), datetime(2026, 1, 1, 0, 1, tzinfo=UTC))

    assert cells == ("diamond", "Pending", "", "", "", "1m", "")


def test_facts_end_with_a_command_to_paste() -> None:
    """The next step is the runner's log."""
    run = {
        **flow_run_data(),
        "status": {"phase": "Failed", "attempt": 1, "jobName": "f-x-1", "workers": 0},
    }

    shown = dict(facts(run))

    assert shown["Workers"] == "0"
    assert shown["Next"] == "kubectl logs -n ns job/f-x-1"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({}, "Pending"),
        ({"phase": "Running", "message": "on 2 workers"}, "Running"),
        (
            {"phase": "Starting", "reason": "ImagePull", "message": "no x"},
            "Starting (ImagePull: no x)",
        ),
        (
            {"phase": "Failed", "reason": "FlowFailed", "message": "boom"},
            "Failed (FlowFailed: boom)",
        ),
        ({"phase": "Succeeded", "message": "in 3 s"}, "Succeeded (in 3 s)"),
    ],
)
def test_a_status_in_one_line(status: dict, text: str) -> None:
    """Phase, then why."""
    assert describe(status) == text


def test_facts_name_the_attempts_of_a_run_that_was_tried_again() -> None:
    """Each with its reason and where its log is; one attempt alone needs no line."""
    first = {"attempt": 1, "reason": "FlowFailed", "jobName": "f-x-1"}
    status = {"phase": "Running", "attempt": 2, "jobName": "f-x-2"}
    twice = {**status, "attempts": [first, {"attempt": 2, "jobName": "f-x-2"}]}
    once = {**status, "attempts": [first]}

    assert (
        dict(facts({**flow_run_data(), "status": twice}))["Attempt 1"] == "FlowFailed (job/f-x-1)"
    )
    assert "Attempt 1" not in dict(facts({**flow_run_data(), "status": once}))

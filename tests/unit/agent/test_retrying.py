"""Whether another attempt follows, and when: the table of reasons, budgets and pauses."""

from datetime import timedelta

import pytest

from dask_flows.agent.retrying import FINAL, INFRASTRUCTURE, Used, next_attempt, pause
from dask_flows.retries import Asked, Budget
from fakes.clock import START

MIDDLE = 0.5  # a draw that moves nothing


def told(*reasons: str) -> list[dict[str, str]]:
    """Return attempts that ended so; one that goes on has no reason."""
    return [{"reason": reason} if reason else {} for reason in reasons]


def middle() -> float:
    """Draw the middle."""
    return MIDDLE


@pytest.mark.parametrize(
    ("reason", "used", "budget", "after"),
    [
        ("FlowFailed", Used(), Budget(0, 10, 3), None),
        ("FlowFailed", Used(), Budget(1, 10, 0), Used(1, 0)),
        ("FlowFailed", Used(1, 0), Budget(1, 10, 3), None),
        ("FlowFailed", Used(0, 3), Budget(1, 10, 3), Used(1, 3)),
        ("OutOfMemory", Used(1, 0), Budget(2, 10, 3), Used(2, 0)),
        ("ClusterTimeout", Used(), Budget(1, 10, 3), Used(1, 0)),
        ("ContainerStart", Used(), Budget(1, 10, 3), Used(1, 0)),
        ("SomethingNew", Used(), Budget(1, 10, 3), Used(1, 0)),
        ("NodeLost", Used(5, 2), Budget(0, 10, 3), Used(5, 3)),
        ("NodeLost", Used(0, 3), Budget(100, 10, 3), None),
        *((reason, Used(), Budget(0, 10, 1), Used(0, 1)) for reason in sorted(INFRASTRUCTURE)),
        *((reason, Used(), Budget(100, 10, 100), None) for reason in sorted(FINAL)),
    ],
)
def test_each_failure_is_paid_for_by_its_own_budget(
    reason: str, used: Used, budget: Budget, after: Used | None
) -> None:
    """The flow's failures and the platform's are counted apart; what waiting cannot heal by none."""
    found = next_attempt(reason, used, budget, START, middle)

    assert (found.used if found else None) == after


@pytest.mark.parametrize(
    ("backoff", "count", "draw", "seconds"),
    [
        (10, 0, 0.5, 10),
        (10, 1, 0.5, 20),
        (10, 5, 0.5, 320),
        (10, 0, 0.0, 9),
        (10, 0, 1.0, 11),
        (10, 9, 0.5, 3600),
        (10, 100, 0.0, 3240),
        (3600, 0, 1.0, 3600),
        (1, 0, 0.5, 1),
    ],
)
def test_pauses_double_up_to_an_hour(backoff: int, count: int, draw: float, seconds: float) -> None:
    """Ten per cent more or less, and never more than an hour."""
    assert pause(backoff, count, lambda: draw) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("reason", "used", "seconds"),
    [("FlowFailed", Used(2, 0), 40), ("FlowFailed", Used(2, 9), 40), ("NodeLost", Used(2, 1), 20)],
)
def test_a_pause_grows_with_its_own_budget(reason: str, used: Used, seconds: int) -> None:
    """A flow that failed often does not make a lost node wait."""
    found = next_attempt(reason, used, Budget(9, 10, 10), START, middle)

    assert found is not None
    assert found.at == START + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("asked", "budget"),
    [
        (Asked(), Budget(1, 20, 5)),
        (Asked(limit=0), Budget(0, 20, 5)),
        (Asked(backoff=1), Budget(1, 1, 5)),
        (Asked(infrastructure=0), Budget(1, 20, 0)),
        (Asked(4, 5, 6), Budget(4, 5, 6)),
    ],
)
def test_a_run_overrides_the_release_field_by_field(asked: Asked, budget: Budget) -> None:
    """What it does not say, the release decides; 0 is said."""
    assert Budget(1, 20, 5).with_(asked) == budget


@pytest.mark.parametrize(
    ("status", "used"),
    [
        ({}, Used()),
        ({"retries": None}, Used()),
        ({"retries": {"limit": 3}}, Used(3, 0)),
        ({"attempts": told("FlowFailed", "Suspended", "NodeLost", "OutOfMemory", "")}, Used(2, 1)),
        ({"retries": {"limit": 30}, "attempts": told(*["FlowFailed"] * 10)}, Used(30, 0)),
    ],
)
def test_counters_are_read_from_status(status: dict[str, object], used: Used) -> None:
    """They survive the agent, the list of attempts that is cut, and a schema that drops them."""
    assert Used.of(status) == used


def test_no_reason_is_in_two_budgets() -> None:
    """Else the order of the questions would decide."""
    assert not INFRASTRUCTURE & FINAL

"""Rules of deadlines: they end when they say, and never wait less than nothing."""

from datetime import UTC, datetime
from math import inf

from dask_flows.deadline import Deadline, parse_timestamp, timestamp


class Ticks:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 100.0

    def monotonic(self) -> float:
        return self.time

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


def test_a_deadline_counts_down_to_nothing() -> None:
    """Remaining time never goes below 0."""
    clock = Ticks()
    deadline = Deadline(10, clock)

    clock.time += 4
    assert deadline.remaining() == 6
    assert not deadline.expired

    clock.time += 40
    assert deadline.remaining() == 0
    assert deadline.expired


def test_without_limit_it_never_ends() -> None:
    """None seconds mean for ever."""
    assert Deadline(None, Ticks()).remaining() == inf


def test_times_are_written_as_kubernetes_writes_them() -> None:
    """RFC 3339 in UTC, and back."""
    moment = datetime(2026, 3, 1, 12, 30, 1, tzinfo=UTC)

    assert timestamp(moment) == "2026-03-01T12:30:01Z"
    assert parse_timestamp("2026-03-01T12:30:01Z") == moment

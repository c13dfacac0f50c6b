"""Every wait ends: with the thing, or with the last complaint."""

from datetime import UTC, datetime

import pytest
from onenode.errors import ClusterError
from onenode.probes import judge_node
from onenode.waiting import wait_for


class FakeClock:
    """Pass time only when somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_waiting_ends_when_the_probe_has_no_complaint():
    """The probe is asked again until then, and no longer."""
    clock, answers = FakeClock(), iter(["starting", "almost", None])
    wait_for("thing", lambda: next(answers), 60, clock)

    assert clock.now == pytest.approx(0.2)


def test_waiting_ends_at_the_deadline_with_the_last_complaint():
    """The message names the thing, the time and the reason."""
    clock = FakeClock()

    with pytest.raises(ClusterError, match=r"thing is not ready after 5 s: still starting"):
        wait_for("thing", lambda: "still starting", 5, clock)

    assert clock.now == pytest.approx(5, abs=0.2)


SINCE = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def node(status, heartbeat):
    condition = {
        "type": "Ready",
        "status": status,
        "lastHeartbeatTime": heartbeat,
        "message": "runtime is down",
    }
    return {"status": {"conditions": [condition]}}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (node("True", "2026-01-01T12:00:00Z"), None),
        (node("True", "2026-01-01T11:59:59Z"), "the kubelet has not reported yet"),
        (node("False", "2026-01-01T12:00:01Z"), "runtime is down"),
        ({}, "the node has no Ready condition"),
    ],
)
def test_a_node_is_ready_only_by_a_report_of_this_start(given, complaint):
    """After a stop the object still says Ready; that is old news."""
    assert judge_node(given, SINCE) == complaint


def test_the_age_of_the_report_does_not_matter_without_a_start():
    """A kubelet that was running reports only changes."""
    assert judge_node(node("True", "2020-01-01T00:00:00Z"), None) is None

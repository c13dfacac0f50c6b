"""The event loop's heartbeat, and what the probes make of it."""

import asyncio
import threading
import time

import pytest

from dask_flows.agent.health import SILENCE, Health
from dask_flows.agent.heartbeat import BLOCKED, Heartbeat
from dask_flows.agent.views import RunView
from dask_flows.kube.informer import Informer
from dask_flows.kube.resources import FLOWRUNS
from fakes.api import FakeApi
from fakes.clock import FixedClock, LoopClock

LATE: list[float] = []


def runs(clock: FixedClock) -> Informer[RunView]:
    """Return what is followed."""
    return Informer(FakeApi(clock), FLOWRUNS, "ns", RunView.of, clock=clock)


def test_an_informer_that_is_silent_for_three_minutes_is_dead() -> None:
    """A bookmark counts as a sign of life; the probe names what is silent."""
    clock = FixedClock()
    informer, heart = runs(clock), Heartbeat(clock, LATE.append)
    health = Health((informer,), (informer,), heart, clock)
    assert health.trouble() == ""
    assert health.missing() == "not listed yet: flowruns.dask-flows.dev"
    informer.synced.set()
    assert health.missing() == ""

    clock.seconds = SILENCE - 1
    heart._last = clock.seconds
    assert health.trouble() == ""
    clock.seconds = heart._last = SILENCE
    assert (
        health.trouble()
        == health.missing()
        == "nothing has been heard of flowruns.dask-flows.dev for 180 s"
    )


def test_a_loop_that_does_not_go_round_is_dead() -> None:
    """Even if the informers' last signs are fresh."""
    clock = FixedClock()
    informer, heart = runs(clock), Heartbeat(clock, LATE.append)
    health = Health((informer,), (), heart, clock)
    clock.seconds = informer.last_sign = BLOCKED

    assert health.trouble() == "the event loop does not go round"


@pytest.mark.looptime
async def test_the_heart_beats_every_second_and_tells_how_late_it_is() -> None:
    """A second more than asked for is a delay of a second."""
    clock, late = LoopClock(), list[float]()
    heart = Heartbeat(clock, late.append)
    beating = asyncio.create_task(heart.run())
    await asyncio.sleep(30.5)
    beating.cancel()

    assert len(late) == 30
    assert max(late) < 0.1
    assert heart.alive
    await asyncio.sleep(BLOCKED)
    assert not heart.alive


def test_a_blocked_loop_is_seen_from_a_thread_with_its_place() -> None:
    """Once per standstill, with the innermost frames of the loop's thread."""
    clock, heart = FixedClock(), None
    entered, leave = threading.Event(), threading.Event()

    def stuck_here() -> None:
        entered.set()
        leave.wait(30)

    async def block() -> None:
        nonlocal heart
        heart = Heartbeat(clock, LATE.append)
        beating = asyncio.create_task(heart.run())
        await asyncio.sleep(0)
        stuck_here()
        beating.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(block()))
    thread.start()
    try:
        assert entered.wait(30)
        assert heart is not None
        clock.seconds = BLOCKED - 1
        assert heart.look() == ""
        clock.seconds = BLOCKED
        assert "stuck_here" in heart.look()
        clock.seconds = BLOCKED * 2
        assert heart.look() == ""
    finally:
        leave.set()
        thread.join(30)


def test_the_thread_logs_where_and_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It outlives nothing: closing ends it."""
    monkeypatch.setattr("dask_flows.agent.heartbeat.LOOK", 0.01)
    heart = Heartbeat(FixedClock(), LATE.append)
    monkeypatch.setattr(heart, "look", lambda: "in_the_way")
    heart.watch()
    end = time.monotonic() + 30
    while "in_the_way" not in caplog.text and time.monotonic() < end:
        threading.Event().wait(0.01)
    heart.close()

    assert "the event loop is blocked" in caplog.text
    thread = next((t for t in threading.enumerate() if t.name == "heartbeat"), None)
    if thread is not None:
        thread.join(30)
        assert not thread.is_alive()

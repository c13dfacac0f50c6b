"""Events on runs: each told once, none lost without a trace."""

import asyncio
from typing import Any

import pytest

from dask_flows.agent.events import REMEMBERED, REPEAT, WAITING, Events
from dask_flows.flowrun import FlowRun
from dask_flows.kube.errors import Forbidden
from dask_flows.kube.resources import EVENTS
from fakes.api import FakeApi
from fakes.clock import LoopClock
from fakes.stage import playing

pytestmark = pytest.mark.looptime


def run(uid: str = "u1") -> FlowRun:
    """Return a run."""
    meta = {"name": "a", "namespace": "ns", "uid": uid}
    return FlowRun.parse({"metadata": meta, "spec": {"command": ["true"]}})


def told(api: FakeApi) -> list[tuple[str, int]]:
    """Return what was told, in order: message and count."""
    events: list[dict[str, Any]] = [api.read(EVENTS, name) for name in api.names(EVENTS)]
    events.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
    return [(event["message"], event["count"]) for event in events]


async def test_the_same_is_told_again_only_after_ten_minutes() -> None:
    """Then with the number of times it was so; another run, reason or message is told at once."""
    api, clock = FakeApi(), LoopClock()
    events = Events(api, clock)
    sending = asyncio.create_task(events.run())
    for _ in range(3):
        events.tell(run(), "ImagePull", "no such image")
        await asyncio.sleep(REPEAT / 4)
    events.tell(run("u2"), "ImagePull", "no such image of another")
    events.tell(run(), "ImagePull", "denied")
    await asyncio.sleep(REPEAT / 4)
    events.tell(run(), "ImagePull", "no such image")
    await asyncio.sleep(1)
    sending.cancel()

    assert told(api) == [
        ("no such image", 1), ("no such image of another", 1), ("denied", 1), ("no such image", 3)
    ]  # fmt: skip
    assert events.results == {"sent": 4, "repeated": 2, "dropped": 0}


async def test_what_cannot_be_told_is_counted() -> None:
    """Too many at once, or refused: neither stops the others."""
    api = FakeApi()
    events = Events(api, LoopClock())
    for number in range(WAITING + 5):
        events.tell(run(), "Queued", f"position {number}")
    api.faults.fail("create", "events", Forbidden("no"), times=3)
    sending = asyncio.create_task(events.run())
    await asyncio.sleep(1)
    sending.cancel()

    assert events.results == {"sent": WAITING - 3, "repeated": 0, "dropped": 8}


async def test_what_was_told_is_not_remembered_for_ever() -> None:
    """By age and by number."""
    events = Events(FakeApi(), LoopClock())
    for number in range(REMEMBERED + 10):
        events.tell(run(), "Queued", str(number))
    assert len(events._told) == REMEMBERED

    await asyncio.sleep(REPEAT * 3)
    events.tell(run(), "Queued", "now")
    assert len(events._told) == 1


async def test_each_phase_of_a_run_is_told() -> None:
    """So that kubectl describe tells its story."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        await runner.finish(stage.channel)
        await asyncio.sleep(1)

        reasons = [stage.api.read(EVENTS, name)["reason"] for name in stage.api.names(EVENTS)]
        assert {"Starting", "Running", "Succeeded"} <= set(reasons)
        assert stage.agent.events.results["dropped"] == 0

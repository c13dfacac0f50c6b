"""Rules of the informer: complete, never going back, never ending, never spinning."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dask_flows.kube.errors import Gone, KubeError, TooManyRequests, Unreachable
from dask_flows.kube.informer import Informer
from dask_flows.kube.resources import PODS
from fakes.api import FakeApi
from fakes.clock import LoopClock

pytestmark = pytest.mark.looptime

Change = tuple[str, str | None, str | None]


def pod(name: str, mark: str = "", **meta: Any) -> dict[str, Any]:
    """Return a small object; ``mark`` is what the projection keeps."""
    return {"metadata": {"name": name, "labels": {"mine": "yes"}, **meta}, "mark": mark}


def project(obj: dict[str, Any]) -> str:
    """Keep the mark; fail for an object without one."""
    return str(obj["mark"])


@asynccontextmanager
async def following(api: FakeApi) -> AsyncIterator[tuple[Informer[str], list[Change]]]:
    """Run an informer, synced, and collect what it tells."""
    informer = Informer(api, PODS, "ns", project, clock=LoopClock(), labels="mine=yes")
    changes: list[Change] = []
    informer.subscribe(lambda *change: changes.append(change))
    task = asyncio.create_task(informer.run())
    try:
        await asyncio.wait_for(informer.synced.wait(), 60)
        yield informer, changes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def requests(api: FakeApi, verb: str) -> int:
    """Count the requests of a verb."""
    return sum(request[0] == verb for request in api.requests)


async def test_it_holds_what_the_server_holds() -> None:
    """Listed, added, changed and deleted objects all arrive."""
    api = FakeApi()
    api.add(PODS, pod("a", "1"))
    async with following(api) as (informer, changes):
        api.add(PODS, pod("b", "1"))
        api.change(PODS, "a", {"mark": "2"})
        await asyncio.sleep(0.1)
        api.remove(PODS, "ns", "b")
        await asyncio.sleep(0.1)

        assert (informer.get("a"), informer.get("b"), len(informer)) == ("2", None, 1)
        assert changes == [("a", None, "1"), ("b", None, "1"), ("a", "1", "2"), ("b", "1", None)]


async def test_long_lists_come_in_pages() -> None:
    """No single answer holds more than 100 objects: parsed, a finished Job is 38 KB."""
    api = FakeApi()
    for number in range(301):
        api.add(PODS, pod(f"p{number}", "1"))
    async with following(api) as (informer, _):
        assert len(informer) == 301
        assert requests(api, "list") == 4


async def test_a_version_that_is_too_old_means_one_new_list() -> None:
    """410 costs one list, and what was missed is told, deletions too."""
    api = FakeApi()
    api.add(PODS, pod("a", "1"))
    async with following(api) as (informer, changes):
        api.remove(PODS, "ns", "a")
        api.add(PODS, pod("b", "1"))
        api.store.forget_history()
        await asyncio.sleep(5)

        assert [*informer] == ["1"]
        assert sorted(changes[1:], key=str) == [("a", "1", None), ("b", None, "1")]
        assert requests(api, "list") == 2


async def test_a_first_list_that_is_begun_again_is_still_the_first() -> None:
    """Metrics tell a server that forgets positions from an agent that starts."""
    api = FakeApi()
    api.faults.fail("list", "pods", Gone("expired"), times=2)
    async with following(api) as (informer, _):
        assert informer.lists == {"First": 3}


async def test_a_storm_of_410_does_not_spin() -> None:
    """A server that answers every watch with 410 gets a handful of requests, not thousands."""
    api = FakeApi()
    api.faults.fail("watch", "pods", Gone("too old"), times=1000)
    async with following(api):
        await asyncio.sleep(60)

        assert requests(api, "list") < 15


@pytest.mark.parametrize(
    "error", [Unreachable("down"), KubeError("HTTP 503"), KubeError("HTTP 401")], ids=str
)
async def test_an_outage_of_ten_minutes_is_waited_out(error: KubeError) -> None:
    """It never gives up, asks calmly, and is back within 15 s of the server."""
    api = FakeApi()
    async with following(api) as (informer, _):
        faults = [api.faults.fail(verb, "pods", error, times=10**6) for verb in ("list", "watch*")]
        api.store.forget_history()
        await asyncio.sleep(600)
        asked = len(api.requests)
        for fault in faults:
            fault.times = 0
        api.add(PODS, pod("a", "1"))
        await asyncio.sleep(15)

        assert informer.get("a") == "1"
        assert asked < 150


async def test_retry_after_is_honoured() -> None:
    """The server says when to come back."""
    api = FakeApi()
    api.faults.fail("list", "pods", TooManyRequests("busy", retry_after=30.0))
    informer = Informer(api, PODS, "ns", project, clock=LoopClock())
    task = asyncio.create_task(informer.run())
    await asyncio.sleep(29)

    assert not informer.synced.is_set()
    await asyncio.sleep(2)
    assert informer.synced.is_set()
    task.cancel()


async def test_an_object_that_cannot_be_read_is_left_out() -> None:
    """One bad object stops nobody else."""
    api = FakeApi()
    api.add(PODS, {"metadata": {"name": "bad", "labels": {"mine": "yes"}}})
    api.add(PODS, pod("good", "1"))
    async with following(api) as (informer, _):
        api.change(PODS, "bad", {"other": "still no mark"})
        api.change(PODS, "good", {"mark": "2"})
        await asyncio.sleep(0.1)

        assert (informer.get("bad"), informer.get("good")) == (None, "2")


async def test_a_handler_that_fails_does_not_end_the_watch() -> None:
    """Handlers are ours, and may have mistakes."""
    api = FakeApi()
    async with following(api) as (informer, changes):
        informer.subscribe(lambda *_: 1 / 0)
        api.add(PODS, pod("a", "1"))
        await asyncio.sleep(0.1)
        api.add(PODS, pod("b", "1"))
        await asyncio.sleep(0.1)

        assert [name for name, *_ in changes] == ["a", "b"]


async def test_it_never_goes_back() -> None:
    """Duplicates and older copies tell nothing and change nothing."""
    api = FakeApi()
    async with following(api) as (informer, changes):
        old = api.add(PODS, pod("a", "1"))
        new = api.change(PODS, "a", {"mark": "2"})
        await asyncio.sleep(0.1)
        for copy in (old, new, old):
            informer.assume(copy)
        api.remove(PODS, "ns", "a")
        await asyncio.sleep(0.1)
        informer.assume(new)

        assert informer.get("a") is None
        assert len(changes) == 3


async def test_our_own_writes_are_seen_at_once() -> None:
    """Nobody decides on a copy from before our own write, and a list in flight does not undo it."""
    api = FakeApi()
    async with following(api) as (informer, changes):
        made = api.add(PODS, pod("a", "1"))
        informer.assume(made)

        assert informer.get("a") == "1"
        await asyncio.sleep(0.1)
        assert changes == [("a", None, "1")]


async def test_a_server_restored_from_a_backup_is_believed() -> None:
    """Versions that run backwards after a restore do not freeze the copy."""
    api = FakeApi()
    api.add(PODS, pod("a", "new"))
    for _ in range(20):
        api.change(PODS, "a", {"mark": "newer"})
    async with following(api) as (informer, _):
        api.store.version, api.store.history = 3, []
        api.change(PODS, "a", {"mark": "restored"})
        api.faults.fail("watch*", "pods", Gone("restored"))
        await asyncio.sleep(700)

        assert informer.get("a") == "restored"


async def test_a_watch_that_ends_is_taken_up_where_it_was() -> None:
    """The server ends watches every four to five minutes; nothing is listed again before ten are over."""
    api = FakeApi()
    async with following(api) as (informer, _):
        await asyncio.sleep(470)
        api.add(PODS, pod("a", "1"))
        await asyncio.sleep(1)

        assert informer.get("a") == "1"
        assert (requests(api, "list"), requests(api, "watch")) == (1, 1 + 1)


async def test_every_eight_to_ten_minutes_it_lists_again() -> None:
    """The net below lost events; not all informers at once."""
    api = FakeApi()
    async with following(api):
        await asyncio.sleep(3600)

        assert 5 <= requests(api, "list") <= 9


async def test_it_gives_signs_of_life() -> None:
    """Quiet times have bookmarks, so silence means that the task is dead."""
    api = FakeApi()
    clock = LoopClock()
    async with following(api) as (informer, _):
        for _ in range(60):
            await asyncio.sleep(30)
            assert clock.monotonic() - informer.last_sign <= 70

"""Every ten minutes all is listed again, beside the watch: nothing waits for it, nothing is undone by it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dask_flows.kube.api import Event, Page
from dask_flows.kube.errors import KubeError, Unreachable
from dask_flows.kube.informer import Informer
from dask_flows.kube.resources import PODS
from fakes.api import FakeApi
from fakes.clock import LoopClock

pytestmark = pytest.mark.looptime

LISTING = 47.0  # seconds; bookmarks come at other times


class SlowLists(FakeApi):
    """Its lists show the moment at which they were asked for and, but for the first, arrive much later."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = self.under_way = self.most = 0
        self.again = asyncio.Event()
        self.error: KubeError | None = None
        self._cut = asyncio.Event()

    async def list(self, *args: Any, **kwargs: Any) -> Page:
        page = await super().list(*args, **kwargs)
        self.asked += 1
        if self.asked > 1:
            self.again.set()
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await asyncio.sleep(LISTING)
            self.under_way -= 1
            if self.error:
                raise self.error
        return page

    async def watch(
        self, *args: Any, resource_version: str, **kwargs: Any
    ) -> AsyncGenerator[Event, None]:
        if int(resource_version) > self.store.version:
            raise KubeError("Too large resource version")
        cut = self._cut
        async for event in super().watch(*args, resource_version=resource_version, **kwargs):
            yield event
            if cut.is_set():
                return

    def cut(self) -> None:
        """End the watches that there are, at their next event."""
        self._cut.set()
        self._cut = asyncio.Event()


def pod(name: str, mark: str) -> dict[str, Any]:
    """Return a small object; ``mark`` is what the projection keeps."""
    return {"metadata": {"name": name}, "mark": mark}


@asynccontextmanager
async def listing_again(api: SlowLists) -> AsyncIterator[Informer[str]]:
    """Follow the server up to the moment at which the second list is on its way."""
    informer = Informer(api, PODS, "ns", lambda obj: str(obj["mark"]), clock=LoopClock())
    task = asyncio.create_task(informer.run())
    try:
        await api.again.wait()
        yield informer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_changes_arrive_while_it_lists() -> None:
    """With 10,000 finished runs a list takes seconds: new ones do not wait for that."""
    api = SlowLists()
    api.add(PODS, pod("old", "1"))
    async with listing_again(api) as informer:
        api.add(PODS, pod("new", "1"))
        api.change(PODS, "old", {"mark": "2"})
        await asyncio.sleep(1)
        meanwhile = informer.get("new"), informer.get("old")
        await asyncio.sleep(LISTING)

        assert meanwhile == ("1", "2")
        assert (informer.get("new"), informer.get("old")) == ("1", "2")


async def test_what_is_deleted_meanwhile_stays_deleted() -> None:
    """The list still shows it, and so does a late answer to a write from before."""
    api = SlowLists()
    api.add(PODS, pod("a", "1"))
    async with listing_again(api) as informer:
        late = api.change(PODS, "a", {"mark": "2"})
        api.remove(PODS, "ns", "a", grace=0)
        await asyncio.sleep(1)
        meanwhile = informer.get("a")
        await asyncio.sleep(LISTING)
        informer.assume(late)

        assert (meanwhile, informer.get("a")) == (None, None)


async def test_the_watch_goes_on_from_where_it_was() -> None:
    """A list that is older than the last event must not have all events come again."""
    api = SlowLists()
    seen: list[str | None] = []
    api.add(PODS, pod("a", "1"))
    async with listing_again(api) as informer:
        informer.subscribe(lambda _, __, new: seen.append(new))
        for mark in "234":
            api.change(PODS, "a", {"mark": mark})
        informer.synced.clear()
        await informer.synced.wait()
        position = informer._position
        await asyncio.sleep(301)

        assert position == str(api.store.version)
        assert seen == ["2", "3", "4"]


async def test_a_list_that_fails_is_asked_for_again() -> None:
    """Meanwhile the watch tells what there is to tell."""
    api = SlowLists()
    api.error = Unreachable("nobody answers")
    async with listing_again(api) as informer:
        await asyncio.sleep(LISTING + 1)
        api.add(PODS, pod("a", "1"))
        await asyncio.sleep(1)
        meanwhile, api.error = informer.get("a"), None
        await asyncio.sleep(700)

        assert meanwhile == "1"
        assert informer.ends["Unreachable"] == 1
        assert api.asked == 3


async def test_a_server_restored_from_a_backup_is_believed() -> None:
    """Its versions are lower: it refuses every watch from the old position, and only a list gives another."""
    api = SlowLists()
    for mark in "1234":
        api.add(PODS, pod("a", mark))
    async with listing_again(api) as informer:
        api.store.version, api.store.history = 1, []
        api.change(PODS, "a", {"mark": "restored"})
        api.cut()
        await asyncio.sleep(800)
        api.add(PODS, pod("b", "1"))
        await asyncio.sleep(1)

        assert (informer.get("a"), informer.get("b")) == ("restored", "1")
        assert api.most == 1


async def test_an_end_in_the_middle_leaves_nothing() -> None:
    """Neither a task nor a complaint about one that nobody waited for."""
    before = asyncio.all_tasks()
    async with listing_again(SlowLists()):
        pass

    assert asyncio.all_tasks() == before

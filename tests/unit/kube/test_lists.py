"""Lists may leave out what a watch shows: what has ended and nobody asks for. Nothing else is lost, or called lost."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dask_flows.kube.api import Event, Page
from dask_flows.kube.errors import Gone
from dask_flows.kube.informer import Informer
from dask_flows.kube.lists import Lists, Rest, Selection
from dask_flows.kube.resources import PODS
from fakes.api import FakeApi
from fakes.clock import LoopClock

pytestmark = pytest.mark.looptime

TEN_MINUTES = 800.0  # until what is held has been compared
BOTH = (Selection("kind=a"), Selection("kind=b", "mark!=over"))


class Server(FakeApi):
    """Counts what its lists give; ``between`` happens after the list of the first part; its watch may be deaf."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: list[str] = []
        self.between: Callable[[], None] | None = None
        self.deaf = False

    async def list(self, *args: Any, **kwargs: Any) -> Page:
        """Read one page."""
        page = await super().list(*args, **kwargs)
        self.listed += [obj["metadata"]["name"] for obj in page.items]
        if self.between and kwargs["labels"] == "kind=a":
            happens, self.between = self.between, None
            happens()
        return page

    async def watch(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Event, None]:
        """Follow changes."""
        async for event in super().watch(*args, **kwargs):
            if not self.deaf or event.type == "BOOKMARK":
                yield event

    def pod(self, name: str, kind: str, mark: str = "1") -> dict[str, Any]:
        """Add an object; ``mark`` is what the projection keeps."""
        meta = {"name": name, "labels": {"kind": kind, "app": "x"}}
        return self.add(PODS, {"metadata": meta, "mark": mark})

    def mark(self, name: str, mark: str) -> dict[str, Any]:
        """Change an object."""
        return self.change(PODS, name, {"mark": mark})


@asynccontextmanager
async def following(api: Server, rest: Rest | None = None) -> AsyncIterator[Informer[str]]:
    """Follow a server by two lists; those of kind b that are over are in neither."""

    async def nothing(_: Collection[str]) -> AsyncGenerator[Page, None]:
        for page in ():
            yield page

    lists = Lists(BOTH, lambda mark: mark == "over", rest or nothing)
    informer = Informer(
        api,
        PODS,
        "ns",
        lambda obj: str(obj["mark"]),
        clock=LoopClock(),
        labels="app=x",
        lists=lists,
    )
    task = asyncio.create_task(informer.run())
    try:
        await asyncio.sleep(1)
        yield informer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def held(informer: Informer[str]) -> dict[str, str | None]:
    """Return all that is held."""
    return {name: informer.get(name) for name in sorted(informer.copies.names())}


async def test_lists_leave_out_and_the_watch_shows() -> None:
    """What is over before we look is not held; what ends before our eyes is, for as long as it is there."""
    api = Server()
    api.pod("dask", "a")
    api.pod("old", "b", "over")
    api.pod("living", "b")
    async with following(api) as informer:
        before = held(informer)
        api.mark("living", "over")
        await asyncio.sleep(TEN_MINUTES)
        ended = held(informer)
        api.remove(PODS, "ns", "living", grace=0)
        await asyncio.sleep(1)

        assert before == {"dask": "1", "living": "1"}
        assert ended == {"dask": "1", "living": "over"}
        assert held(informer) == {"dask": "1"}
        assert "old" not in api.listed
        assert (informer.lists["Age"], informer.lists["Missed"]) == (1, 0)


@pytest.mark.parametrize("seldom", ["first list", "comparison", "list after a 410"])
async def test_what_happens_between_the_two_lists_is_neither_lost_nor_called_lost(
    seldom: str,
) -> None:
    """The second list is of a later version than the first, from which the watch goes on."""
    api = Server()
    for name, kind in (("changes", "a"), ("goes", "a"), ("ends", "b"), ("vanishes", "b")):
        api.pod(name, kind)

    def happens() -> None:
        api.mark("changes", "2")
        api.remove(PODS, "ns", "goes", grace=0)
        api.mark("ends", "over")
        api.remove(PODS, "ns", "vanishes", grace=0)
        api.pod("new", "a")
        api.pod("begins", "b")

    api.between = happens if seldom == "first list" else None
    async with following(api) as informer:
        if seldom != "first list":
            api.between = happens
        if seldom == "list after a 410":
            api.store.forget_history()
            await asyncio.sleep(30)
        else:
            await asyncio.sleep(TEN_MINUTES)

        assert held(informer) == {"begins": "1", "changes": "2", "ends": "over", "new": "1"}
        assert api.between is None
        assert informer.lists["Missed"] == 0


@pytest.mark.parametrize("lost", ["a living one", "the end of one", "a deletion"])
async def test_an_event_that_never_came_is_noticed(lost: str) -> None:
    """Of all that lists show; that one has ended shows as its absence."""
    api = Server()
    api.pod("pod", "b")
    async with following(api) as informer:
        api.deaf = True
        if lost == "a living one":
            api.pod("second", "b")
        elif lost == "the end of one":
            api.mark("pod", "over")
        else:
            api.remove(PODS, "ns", "pod", grace=0)
        await asyncio.sleep(60)
        api.deaf = False
        await asyncio.sleep(2 * TEN_MINUTES)

        assert informer.lists["Missed"] == 1
        expected = {"pod": "1", "second": "1"} if lost == "a living one" else {}
        assert held(informer) == expected


async def test_one_that_is_asked_for_is_taken() -> None:
    """It is older than the list, which leaves it out; what the list would have is gone if it is not there."""
    api = Server()
    over, gone = api.pod("over", "b", "over"), api.pod("gone", "b")
    api.remove(PODS, "ns", "gone", grace=0)
    async with following(api) as informer:
        informer.assume(over)
        informer.assume(gone)

        assert held(informer) == {"over": "over"}


async def test_one_that_was_deleted_is_not_revived() -> None:
    """An answer from before the deletion comes late."""
    api = Server()
    api.pod("pod", "b")
    async with following(api) as informer:
        late = api.mark("pod", "over")
        api.remove(PODS, "ns", "pod", grace=0)
        await asyncio.sleep(1)
        informer.assume(late)

        assert held(informer) == {}


async def test_the_rest_is_read_with_every_list_and_never_compared() -> None:
    """What ended while the watch was too old (410) is read if it is wanted, and else forgotten."""
    api = Server()
    for name in ("wanted", "unwanted"):
        api.pod(name, "b")
    wanted = False

    async def rest(_: Collection[str]) -> AsyncGenerator[Page, None]:
        if wanted:
            yield Page([api.read(PODS, "wanted")], "")

    async with following(api, rest) as informer:
        api.deaf = True
        for name in ("wanted", "unwanted"):
            api.mark(name, "over")
        await asyncio.sleep(10)
        api.deaf, wanted = False, True
        api.store.forget_history()
        await asyncio.sleep(30)
        relisted = held(informer)
        await asyncio.sleep(2 * TEN_MINUTES)

        assert relisted == held(informer) == {"wanted": "over"}
        assert (informer.lists["Gone"], informer.lists["Missed"]) == (1, 0)


async def test_an_empty_page_is_a_sign_of_life() -> None:
    """The rest waits for something else, and the kubelet must not end the agent for that."""

    async def slowly(_: Collection[str]) -> AsyncGenerator[Page, None]:
        for _ in range(20):
            await asyncio.sleep(10)
            yield Page([], "")

    api = Server()
    api.pod("pod", "b")
    async with following(api, slowly) as informer:
        await asyncio.sleep(195)
        meanwhile = informer.synced.is_set(), informer._clock.monotonic() - informer.last_sign
        await asyncio.sleep(10)

        assert meanwhile[0] is False
        assert meanwhile[1] <= 10
        assert informer.synced.is_set()


async def test_the_rest_knows_what_this_list_has_read() -> None:
    """Not what is held from before: a copy of a living one may be old."""
    api, given = Server(), []
    for name in ("stays", "ends"):
        api.pod(name, "b")

    async def rest(read: Collection[str]) -> AsyncGenerator[Page, None]:
        given.append(sorted(read))
        yield Page([], "")

    async with following(api, rest):
        api.deaf = True
        api.mark("ends", "over")
        await asyncio.sleep(10)
        api.store.forget_history()
        await asyncio.sleep(30)

        assert given == [["ends", "stays"], ["stays"]]


async def test_a_server_restored_to_before_the_second_list_is_believed() -> None:
    """Of the two versions that a list has, the later one is the newest that the server has told."""
    api = Server()
    api.pod("living", "b")
    api.deaf = True

    def happens() -> None:
        for mark in "23456789":
            api.mark("living", mark)

    api.between = happens
    async with following(api) as informer:
        before = held(informer)
        api.store.version, api.store.history = 3, []
        api.mark("living", "restored")
        api.faults.fail("watch*", "pods", Gone("too old"))
        await asyncio.sleep(400)

        assert before == {"living": "9"}
        assert held(informer) == {"living": "restored"}

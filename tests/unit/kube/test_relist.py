"""Every ten minutes the copies are compared with a list, beside the watch: nothing waits for it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dask_flows.kube.api import Event, Page
from dask_flows.kube.errors import Gone, KubeError, Unreachable
from dask_flows.kube.informer import Informer
from dask_flows.kube.resources import PODS, SECRETS
from fakes.api import FakeApi
from fakes.clock import LoopClock

pytestmark = pytest.mark.looptime

LISTING = 47.0  # seconds; bookmarks come at other times


class SlowLists(FakeApi):
    """Its lists show the moment at which they were asked for and, but for the first, arrive much later."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.again = asyncio.Event()
        self.error: KubeError | None = None
        self.answer: Page | None = None
        self.slow = True
        self.strange: list[Any] = []
        self.deaf = False  # the watch tells nothing but how far it has come
        self.watches: list[str] = []

    async def list(self, *args: Any, **kwargs: Any) -> Page:
        """Read one page."""
        page = self.answer or await super().list(*args, **kwargs)
        page.items[:0] = self.strange
        self.asked += 1
        if self.asked > 1:
            self.again.set()
            await asyncio.sleep(LISTING if self.slow else 0)
            if self.error:
                raise self.error
        return page

    async def watch(
        self, *args: Any, resource_version: str, **kwargs: Any
    ) -> AsyncGenerator[Event, None]:
        """Follow changes."""
        self.watches.append(resource_version)
        async for event in super().watch(*args, resource_version=resource_version, **kwargs):
            meta = {"resourceVersion": event.object["metadata"]["resourceVersion"]}
            yield Event("BOOKMARK", {"metadata": meta}) if self.deaf else event


def pod(name: str, mark: str) -> dict[str, Any]:
    """Return a small object; ``mark`` is what the projection keeps."""
    return {"metadata": {"name": name}, "mark": mark}


@asynccontextmanager
async def comparing(api: SlowLists) -> AsyncIterator[Informer[str]]:
    """Follow the server up to the moment at which the second list is on its way."""
    informer = Informer(api, PODS, "ns", lambda obj: str(obj["mark"]), clock=LoopClock())
    task = asyncio.create_task(informer.run())
    try:
        await api.again.wait()
        yield informer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def grown(api: SlowLists, informer: Informer[str]) -> str | None:
    """Let the first comparison end and the server go on; returns what is then held of ``a``."""
    await asyncio.sleep(LISTING + 1)
    for mark in "6789":
        api.change(PODS, "a", {"mark": mark})
    await asyncio.sleep(1)
    return informer.get("a")


async def test_changes_arrive_while_it_compares() -> None:
    """With 10,000 finished runs a list takes seconds: new ones do not wait for that, nor for the comparison."""
    api = SlowLists()
    api.add(PODS, pod("old", "1"))
    async with comparing(api) as informer:
        api.add(PODS, pod("new", "1"))
        api.change(PODS, "old", {"mark": "2"})
        await asyncio.sleep(1)
        meanwhile = informer.get("new"), informer.get("old")
        await asyncio.sleep(LISTING + 400)

        assert meanwhile == ("1", "2")
        assert (informer.get("new"), informer.get("old")) == ("1", "2")
        assert (informer.lists["Age"], informer.lists["Missed"]) == (1, 0)


@pytest.mark.parametrize("lost", ["added", "changed", "deleted", "replaced"])
async def test_an_event_that_never_came_is_noticed(
    lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The net below all that a proxy or a server may lose: everything is listed again."""
    api = SlowLists()
    api.add(PODS, pod("a", "1"))
    async with comparing(api) as informer:
        await asyncio.sleep(LISTING + 1)
        api.deaf = True
        if lost == "added":
            api.add(PODS, pod("b", "1"))
        elif lost == "changed":
            api.change(PODS, "a", {"mark": "2"})
        else:
            api.remove(PODS, "ns", "a", grace=0)
            if lost == "replaced":
                api.add(PODS, pod("a", "3"))
        await asyncio.sleep(60)
        before = [informer.get(name) for name in "ab"]
        api.deaf = False
        with caplog.at_level(logging.INFO):
            await asyncio.sleep(600 + 2 * LISTING + 120)

        assert before == ["1", None]
        expected = {"added": ["1", "1"], "changed": ["2", None], "deleted": [None, None]}
        assert [informer.get(name) for name in "ab"] == expected.get(lost, ["3", None])
        assert informer.lists["Missed"] == 1
        assert "the watch has left out" in caplog.text


async def test_what_is_deleted_meanwhile_stays_deleted() -> None:
    """The list still shows it, and so does a late answer to a write from before."""
    api = SlowLists()
    api.add(PODS, pod("a", "1"))
    async with comparing(api) as informer:
        late = api.change(PODS, "a", {"mark": "2"})
        api.remove(PODS, "ns", "a", grace=0)
        await asyncio.sleep(1)
        meanwhile = informer.get("a")
        await asyncio.sleep(LISTING)
        informer.assume(late)

        assert (meanwhile, informer.get("a"), informer.lists["Missed"]) == (None, None, 0)


async def test_what_was_deleted_before_is_forgotten_but_not_revived() -> None:
    """Names of deleted objects do not pile up, and an old copy of one is still refused."""
    api = SlowLists()
    late = [api.add(PODS, pod(f"p{number}", "1")) for number in range(50)]
    async with comparing(api) as informer:
        await asyncio.sleep(LISTING + 1)
        for number in range(50):
            api.remove(PODS, "ns", f"p{number}", grace=0)
        await asyncio.sleep(600 + LISTING + 62)
        informer.assume(late[0])

        assert informer.lists["Age"] == 2
        assert len(informer.copies._versions) == len(informer) == 0


async def test_an_object_that_cannot_be_read_is_not_missed() -> None:
    """It is left out, and told of; listing everything again would not change that."""
    api = SlowLists()
    api.add(PODS, {"metadata": {"name": "bad"}})
    async with comparing(api) as informer:
        await asyncio.sleep(LISTING + 1)

        assert (informer.lists["Age"], informer.lists["Missed"]) == (1, 0)
        assert informer._due_in() > 400


async def test_what_could_not_be_read_and_is_repaired_unseen_is_noticed() -> None:
    """A version is left out, not a name."""
    api = SlowLists()
    api.add(PODS, {"metadata": {"name": "bad"}})
    async with comparing(api) as informer:
        await asyncio.sleep(LISTING + 1)
        api.deaf = True
        api.change(PODS, "bad", {"mark": "repaired"})
        await asyncio.sleep(60)
        api.deaf = False
        await asyncio.sleep(600 + 2 * LISTING + 120)

        assert informer.get("bad") == "repaired"


async def test_a_quiet_watch_without_bookmarks_is_believed() -> None:
    """Bookmarks are promised by nobody, Events have none at all, and versions grow by what happens elsewhere."""

    class Quiet(SlowLists):
        async def watch(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Event, None]:
            async for event in super().watch(*args, **kwargs):
                if event.type != "BOOKMARK":
                    yield event

    api = Quiet()
    api.add(PODS, pod("a", "1"))
    async with comparing(api) as informer:
        for number in range(4):
            api.add(SECRETS, {"metadata": {"name": f"of-others-{number}"}})
            await asyncio.sleep(800)
        api.change(PODS, "a", {"mark": "2"})
        await asyncio.sleep(0.1)

        assert informer.lists["Missed"] == 0
        assert informer.lists["Age"] >= 4
        assert informer.get("a") == "2"


@pytest.mark.parametrize(
    ("version", "items"),
    [("", []), ("soon", []), ("", [pod("a", "1")])],
    ids=["no version", "a version that is no number", "objects without a version"],
)
async def test_a_list_that_says_no_version_proves_nothing(
    version: str, items: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """Such as an empty object with code 200 from a proxy; what was deleted stays so."""
    api = SlowLists()
    api.add(PODS, pod("a", "1"))
    late = api.add(PODS, pod("b", "1"))
    async with comparing(api) as informer:
        await asyncio.sleep(1)
        api.remove(PODS, "ns", "b", grace=0)
        api.answer = Page(items, version)
        await asyncio.sleep(600 + 2 * LISTING)
        informer.assume(late)

        assert "the list's resourceVersion is no number" in caplog.text
        assert (informer.get("a"), informer.get("b")) == ("1", None)
        assert informer.lists["Missed"] == 0


async def test_an_item_without_a_name_hides_nothing() -> None:
    """It is nobody's copy; what comes after it is compared all the same."""
    api = SlowLists()
    async with comparing(api) as informer:
        await asyncio.sleep(LISTING + 1)
        api.deaf = True
        api.add(PODS, pod("a", "1"))
        await asyncio.sleep(60)
        api.deaf = False
        api.strange = [{"metadata": {}}, "text", {}]
        await asyncio.sleep(600 + 2 * LISTING + 120)

        assert informer.get("a") == "1"


async def test_a_server_restored_and_grown_since_is_believed() -> None:
    """Its version has passed ours before we look: we hold what it has never had."""
    api = SlowLists()
    api.add(PODS, pod("a", "1"))
    async with comparing(api) as informer:
        before = await grown(api, informer)
        api.store.version = 2
        api.change(PODS, "a", {"mark": "restored"})
        api.store.version, api.store.history = 400, []
        await asyncio.sleep(600 + 2 * LISTING + 400)

        assert before == "9"
        assert informer.get("a") == "restored"


@pytest.mark.parametrize("last_list", ["older than the backup", "newer than the backup"])
async def test_a_server_restored_from_a_backup_is_believed(last_list: str) -> None:
    """A watch from a version that is still to come is silent: only a list tells of what there is."""
    api = SlowLists()
    api.add(PODS, pod("a", "1"))
    if last_list == "newer than the backup":
        for mark in "2345":
            api.change(PODS, "a", {"mark": mark})
    async with comparing(api) as informer:
        before = await grown(api, informer)
        api.store.version, api.store.history = 3, []
        restored = api.change(PODS, "a", {"mark": "restored"})
        await asyncio.sleep(600 + 2 * LISTING + 400)
        api.add(PODS, pod("b", "1"))
        await asyncio.sleep(1)

        assert before == "9"
        assert (informer.get("a"), informer.get("b")) == ("restored", "1")
        assert api.watches[-1] == restored["metadata"]["resourceVersion"]


async def test_a_watch_that_falls_behind_is_distrusted() -> None:
    """It lives, but does not come to where the list is: something between holds it back."""

    class Stuck(SlowLists):
        async def watch(self, *_: Any, **__: Any) -> AsyncGenerator[Event, None]:
            while True:
                await asyncio.sleep(60)
                yield Event("BOOKMARK", {"metadata": {"resourceVersion": "1"}})

    api = Stuck()
    api.add(PODS, pod("a", "1"))
    async with comparing(api) as informer:
        await asyncio.sleep(LISTING + 1)
        for mark in "23":
            api.change(PODS, "a", {"mark": mark})
        await asyncio.sleep(600 + 2 * LISTING + 300 + 120)

        assert informer.get("a") == "3"
        assert informer.lists["Missed"] == 1


async def test_a_list_that_fails_is_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    """A minute later; meanwhile the watch tells what there is to tell, and goes on."""
    api = SlowLists()
    api.error = Unreachable("nobody answers")
    async with comparing(api) as informer:
        await asyncio.sleep(LISTING + 1)
        api.add(PODS, pod("a", "1"))
        await asyncio.sleep(1)
        meanwhile, api.error = informer.get("a"), None
        await asyncio.sleep(60 + LISTING)

        assert meanwhile == "1"
        assert "cannot compare resource=pods error=nobody answers" in caplog.text
        assert (api.asked, informer.lists["Age"]) == (3, 2)
        assert set(informer.ends) <= {"Ended"}


async def test_a_watch_that_is_a_little_late_is_waited_for() -> None:
    """The list shows a change before the watch does: that is no loss."""

    class Late(SlowLists):
        async def list(self, *args: Any, **kwargs: Any) -> Page:
            if self.asked:
                self.change(PODS, "a", {"mark": str(self.asked)})
            return await super().list(*args, **kwargs)

        async def watch(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Event, None]:
            async for event in super().watch(*args, **kwargs):
                await asyncio.sleep(20)
                yield event

    api = Late()
    api.slow = False
    api.add(PODS, pod("a", "0"))
    async with comparing(api) as informer:
        await asyncio.sleep(700)

        assert (informer.lists["Age"], informer.lists["Missed"]) == (2, 0)
        assert informer.get("a") == "2"


async def test_a_list_in_between_makes_the_comparison_void() -> None:
    """The position was forgotten meanwhile (410), and what is held is newer than what it is compared with."""
    api = SlowLists()
    api.add(PODS, pod("a", "1"))
    async with comparing(api) as informer:
        api.slow = False
        api.remove(PODS, "ns", "a", grace=0)
        api.faults.fail("watch*", "pods", Gone("too old"))
        await asyncio.sleep(LISTING + 120)

        assert informer.get("a") is None
        assert (informer.lists["Gone"], informer.lists["Missed"]) == (1, 0)


async def test_an_end_in_the_middle_leaves_nothing() -> None:
    """Neither a task nor a complaint about one that nobody waited for."""
    before = asyncio.all_tasks()
    async with comparing(SlowLists()):
        pass

    assert asyncio.all_tasks() == before

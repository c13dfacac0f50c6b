"""A local copy of one kind of objects that follows the API server.

- Lists in pages, then watches with bookmarks; a dead resourceVersion (410) means: list again.
- Never ends and never spins: after any error it waits 0.5 to 10 s, or what ``Retry-After`` asks.
- A watch lasts 4 to 5 minutes and is cut after 70 s of silence. Every 8 to 10 minutes a list is read beside it: if the
  watch has left anything out, everything is listed again.
- Keeps a projection of each object. An object that cannot be projected is logged and left out.
- Never goes back: older copies than the one at hand are dropped, whoever sent them.
- ``assume`` takes the answer to our own write, so that nobody acts on a copy from before it.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from typing import Generic, TypeVar

from dask_flows.deadline import Clock
from dask_flows.kube import versions
from dask_flows.kube.api import BOOKMARK, DELETED, Api, Event, Object, Page
from dask_flows.kube.backoff import Backoff
from dask_flows.kube.copies import Copies, Handler
from dask_flows.kube.errors import Gone, Invalid, KubeError
from dask_flows.kube.lists import Lists, Selection, read
from dask_flows.kube.resources import Resource
from dask_flows.kube.rhythm import USUAL, Rhythm
from dask_flows.kube.versions import Version

T = TypeVar("T")
log = logging.getLogger(__name__)


class Informer(Generic[T]):
    """Keep ``project(object)`` of all objects that match, by name; tell handlers what changed."""

    def __init__(
        self,
        api: Api,
        resource: Resource,
        namespace: str,
        project: Callable[[Object], T],
        *,
        clock: Clock,
        labels: str = "",
        fields: str = "",
        lists: Lists[T] | None = None,
        rhythm: Rhythm = USUAL,
    ) -> None:
        """Watch what ``labels`` and ``fields`` select; list the same, or ``lists``."""
        self.resource = resource
        self.synced = asyncio.Event()
        self.last_sign = clock.monotonic()
        self.ends: Counter[str] = Counter()  # how often following ended, by the reason
        self.lists: Counter[str] = Counter()  # how often everything was listed, by the reason
        self._lists = lists or Lists((Selection(labels, fields),))
        self.copies: Copies[T] = Copies(resource, project, self._lists.unlisted)
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._selector = {"labels": labels, "fields": fields}
        self._rhythm = rhythm
        self._backoff = Backoff(rhythm.first_pause, rhythm.longest_pause)
        self._position = ""
        self._newest: Version = None  # position that this server has ever told
        self._moved = asyncio.Event()
        self._due = 0.0  # when a list is due
        self._why = "First"  # everything is to be listed

    def __iter__(self) -> Iterator[T]:
        """Go through all objects as of now."""
        return iter(self.copies)

    def __len__(self) -> int:
        """Count the objects."""
        return len(self.copies)

    def get(self, name: str) -> T | None:
        """Return the object of this name."""
        return self.copies.get(name)

    def subscribe(self, handler: Handler[T]) -> None:
        """Call ``handler(name, old, new)`` after each change; ``new`` is None for a deletion."""
        self.copies.subscribe(handler)

    def assume(self, obj: Object) -> None:
        """Take an object that the API server has just answered to one of our writes."""
        self.copies.take(obj)

    async def run(self) -> None:
        """Follow the API server for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._checks())
            while True:
                pause = await self._round()
                self._sign()
                await asyncio.sleep(pause)

    async def _round(self) -> float:
        """List if it is time, and watch; returns the pause before the next round, in seconds."""
        try:
            # Versions that are no numbers cannot be compared: then the list itself is the check.
            if not self._position or (self._due_in() <= 0 and not self._is_numbered()):
                await self._list()
            pause = await self._watch()
            self.ends["Ended" if self._position else self._why] += 1
        except (Gone, Invalid) as error:  # Invalid: the position is one that no server gives
            self.ends[type(error).__name__] += 1
            self._distrust("Gone", str(error))
            return self._backoff.next()
        except KubeError as error:
            self.ends[type(error).__name__] += 1
            log.warning("cannot follow resource=%s error=%s", self.resource, error)
            return self._backoff.next(error.retry_after)
        except Exception:  # whatever it was, following goes on, and not into the same hole again
            self.ends["Mistake"] += 1
            log.exception("following failed, trying again: %s", self.resource)
            self._distrust("Gone", "of a mistake")
            return self._backoff.next()
        return pause

    async def _watch(self) -> float:
        started, before = self._clock.monotonic(), self._position
        watch = self._api.watch(
            self.resource,
            self._namespace,
            resource_version=before,
            seconds=random.randint(*self._rhythm.watch),  # noqa: S311 - spread, not secrecy
            **self._selector,
        )
        try:
            async with aclosing(watch) as events:
                async for event in events:
                    self._sign()
                    if not self._position:
                        break
                    self._see(event)
        finally:
            settled = self._clock.monotonic() - started >= self._rhythm.settled
            if settled:
                self._backoff.reset()
        if settled:
            return 0.0
        if self._position != before:  # cut off early, but it brought something
            self._backoff.reset()
        return self._backoff.next()

    def _see(self, event: Event) -> None:
        version = versions.version_of(event.object)
        if event.type == DELETED:
            self.copies.deleted(versions.name_of(event.object), versions.parse(version))
        elif event.type != BOOKMARK:
            self.copies.take(event.object)
        self._advance(version)

    def _advance(self, position: str) -> None:
        number = versions.parse(position)
        if position and versions.reaches(number, versions.parse(self._position)):
            self._position = position
            self._note(number)
            self._moved.set()

    def _note(self, version: Version) -> None:
        if version is not None and versions.reaches(version, self._newest):
            self._newest = version

    def _distrust(self, why: str, because: str) -> None:
        """Have everything listed again: at the watch's next word, if there is a watch."""
        log.info("list again resource=%s because=%s", self.resource, because)
        self._position = ""
        if self.synced.is_set():  # else it is still the first list
            self._why = why
        self._moved.set()

    async def _list(self) -> None:
        self.lists["Age" if self._position else self._why] += 1
        present: set[str] = set()
        try:
            async with asyncio.timeout(self._rhythm.listing):
                position = await self._read_pages(present)
        except TimeoutError as error:
            raise KubeError(f"listing took over {self._rhythm.listing:.0f} s") from error
        if not position:
            raise KubeError("the list says no resourceVersion", where=str(self.resource))
        self.copies.settle(present, versions.parse(position))
        self._position = ""
        self._advance(position)
        self._fresh()
        self.synced.set()

    async def _read_pages(self, present: set[str]) -> str:
        """Take all objects, page by page so that no more is held at once; returns the version to go on from."""
        position = ""
        async with aclosing(self._all_pages()) as all_pages:
            async for page in all_pages:
                if not position and not versions.reaches(
                    versions.parse(page.resource_version), self._newest
                ):
                    self.copies.believe()
                    self._newest = None
                position = position or page.resource_version
                self._take(page, present)
        async with aclosing(self._lists.rest(present)) as rest:
            async for page in rest:
                self._take(page, present)
        return position

    def _all_pages(self) -> AsyncGenerator[Page, None]:
        return read(self._api, self.resource, self._namespace, self._lists.parts)

    def _take(self, page: Page, present: set[str]) -> None:
        self._sign()
        self._note(versions.parse(page.resource_version))
        for obj in page.items:
            present.add(versions.name_of(obj))
            self.copies.take(obj, listed=True)

    def _fresh(self) -> None:
        spread = random.uniform(0.8, 1.0)  # noqa: S311 - not all at once, no secrecy
        self._due = self._clock.monotonic() + spread * self._rhythm.relist

    def _due_in(self) -> float:
        return self._due - self._clock.monotonic()

    def _is_numbered(self) -> bool:
        return versions.parse(self._position) is not None

    async def _checks(self) -> None:
        """Compare what is held with what the server has, whenever that is due."""
        pause = self._rhythm.recheck
        while True:
            await asyncio.sleep(max(pause, self._rhythm.first_pause))
            if self._due_in() <= 0 and self._is_numbered():
                try:
                    await self._check()
                except (KubeError, TimeoutError) as error:
                    log.warning("cannot compare resource=%s error=%s", self.resource, error)
                except Exception:  # it is tried again
                    log.exception("comparing failed: %s", self.resource)
            pause = max(self._due_in(), self._rhythm.recheck)

    async def _check(self) -> None:
        """Read a list beside the watch; have everything listed again if the watch has left anything out.

        To take this list would do, but it takes seconds with thousands of objects, and changes would wait.
        """
        self.lists["Age"] += 1
        due, newest = self._due, self._newest
        async with asyncio.timeout(self._rhythm.listing):
            found, horizon, end = await self._read_versions()
        if self.copies.missed(found, horizon):
            await self._tell(end)
        if self._due != due or not self._position:
            return  # listed meanwhile, or about to be
        if not versions.reaches(horizon, newest) or self.copies.foreign(found, horizon):
            self.copies.believe()
            self._newest = None
            self._distrust("Missed", "the server's versions went back")
        elif name := self.copies.missed(found, horizon):
            self._distrust("Missed", f"the watch has left out {name}")
        else:
            self.copies.confirm(found, horizon)
            self._note(end)
            self._fresh()

    async def _read_versions(self) -> tuple[dict[str, Version], Version, Version]:
        """List; returns each object's version by name, and the versions of the first list and of the last."""
        found: dict[str, Version] = {}
        first = last = ""
        async with aclosing(self._all_pages()) as all_pages:
            async for page in all_pages:
                first, last = first or page.resource_version, page.resource_version
                for obj in page.items:
                    if name := versions.name_of(obj):
                        found[name] = versions.parse(versions.version_of(obj))
        horizon = versions.parse(first)
        if horizon is None:
            raise KubeError("the list's resourceVersion is no number", where=str(self.resource))
        return found, horizon, versions.parse(last)

    async def _tell(self, horizon: Version) -> None:
        """Let the watch tell everything up to a version, if it does so in time.

        Where nothing happens it may not: bookmarks are promised by nobody.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self._rhythm.listing):
                while not versions.reaches(versions.parse(self._position), horizon):
                    self._moved.clear()
                    await self._moved.wait()

    def _sign(self) -> None:
        self.last_sign = self._clock.monotonic()

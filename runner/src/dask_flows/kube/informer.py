"""A local copy of one kind of objects that follows the API server.

- Lists in pages, then watches with bookmarks; a dead resourceVersion (410) means: list again.
- Never ends and never spins: after any error it waits 0.5 to 10 s, or what ``Retry-After`` asks.
- A watch lasts 4 to 5 minutes and is cut after 70 s of silence; every 10 minutes it lists again beside it.
- Keeps a projection of each object. An object that cannot be projected is logged and left out.
- Never goes back: older copies than the one at hand are dropped, whoever sent them.
- ``assume`` takes the answer to our own write, so that nobody acts on a copy from before it.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from dask_flows.deadline import Clock
from dask_flows.kube import versions
from dask_flows.kube.api import BOOKMARK, DELETED, Api, Event, Object, pages
from dask_flows.kube.backoff import Backoff
from dask_flows.kube.errors import Gone, Invalid, KubeError
from dask_flows.kube.resources import Resource

T = TypeVar("T")
Handler = Callable[[str, T | None, T | None], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rhythm:
    """How often to ask the API server, in seconds."""

    first_pause: float = 0.5
    longest_pause: float = 10.0
    settled: float = 5.0  # a watch that lived this long was a good one
    relist: float = 600.0
    listing: float = 300.0  # the server drops a list's snapshot after five minutes anyway
    watch: tuple[int, int] = (240, 300)  # spread, so that not all begin anew at once


USUAL = Rhythm()


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
        rhythm: Rhythm = USUAL,
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self.last_sign = clock.monotonic()
        self.ends: Counter[str] = Counter()  # how often following ended, by the reason
        self.lists: Counter[str] = Counter()  # how often everything was listed, by the reason
        self._api = api
        self._namespace = namespace
        self._project = project
        self._clock = clock
        self._selector = {"labels": labels, "fields": fields}
        self._rhythm = rhythm
        self._backoff = Backoff(rhythm.first_pause, rhythm.longest_pause)
        self._handlers: list[Handler[T]] = []
        self._objects: dict[str, T] = {}
        # Versions outlive deleted objects until the next list: a late copy must not revive them.
        self._versions: dict[str, versions.Version] = {}
        self._position = ""
        self._horizon: versions.Version = None
        self._listed = 0.0

    def __iter__(self) -> Iterator[T]:
        """Go through all objects as of now."""
        return iter(list(self._objects.values()))

    def __len__(self) -> int:
        """Count the objects."""
        return len(self._objects)

    def get(self, name: str) -> T | None:
        """Return the object of this name."""
        return self._objects.get(name)

    def subscribe(self, handler: Handler[T]) -> None:
        """Call ``handler(name, old, new)`` after each change; ``new`` is None for a deletion."""
        self._handlers.append(handler)

    def assume(self, obj: Object) -> None:
        """Take an object that the API server has just answered to one of our writes."""
        self._take(obj)

    async def run(self) -> None:
        """Follow the API server for ever."""
        while True:
            pause = await self._round()
            self._sign()
            await asyncio.sleep(pause)

    async def _round(self) -> float:
        """List if it is time, and watch; returns the pause before the next round, in seconds."""
        try:
            if not self._position:
                await self._list()
            again = self._age_of_list() >= self._rhythm.relist
            pause = await (self._watch_and_list() if again else self._watch())
            self.ends["Ended"] += 1
        except (Gone, Invalid) as error:  # Invalid: the position is one that no server gives
            self.ends[type(error).__name__] += 1
            log.info("list again resource=%s because=%s", self.resource, error)
            self._position = ""
            return self._backoff.next()
        except KubeError as error:
            self.ends[type(error).__name__] += 1
            log.warning("cannot follow resource=%s error=%s", self.resource, error)
            return self._backoff.next(error.retry_after)
        except Exception:  # whatever it was, following goes on, and not into the same hole again
            self.ends["Mistake"] += 1
            log.exception("following failed, trying again: %s", self.resource)
            self._position = ""
            return self._backoff.next()
        return pause

    def _age_of_list(self) -> float:
        return self._clock.monotonic() - self._listed

    async def _watch_and_list(self) -> float:
        """List again beside the watch: with thousands of objects changes would wait for seconds."""
        # To its end also if the watch fails: perhaps only a list gives a position that is right.
        pause, listed = await asyncio.gather(self._watch(), self._list(), return_exceptions=True)
        if isinstance(pause, BaseException):
            raise pause
        if listed is not None:
            raise listed
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

    async def _list(self) -> None:
        self.lists["Age" if self._position else "Gone" if self.synced.is_set() else "First"] += 1
        present: set[str] = set()
        try:
            async with asyncio.timeout(self._rhythm.listing):
                position = await self._read_pages(present)
        except TimeoutError as error:
            raise KubeError(f"listing took over {self._rhythm.listing:.0f} s") from error
        if not position:
            raise KubeError("the list says no resourceVersion", where=str(self.resource))
        self._horizon = horizon = versions.parse(position)
        for name in [n for n in self._objects if n not in present]:
            if versions.reaches(horizon, self._versions.get(name)):  # else made after the list
                self._drop(name, horizon)
        self._versions = {
            n: v
            for n, v in self._versions.items()
            if n in self._objects or not versions.reaches(horizon, v)  # deleted after the list
        }
        self._advance(position)
        self._listed = self._clock.monotonic()
        self.synced.set()

    async def _read_pages(self, present: set[str]) -> str:
        """Take all objects, page by page so that no more is held at once; returns the version."""
        position = ""
        listed = pages(self._api, self.resource, self._namespace, **self._selector)
        async with aclosing(listed) as all_pages:
            async for page in all_pages:
                self._sign()
                if not position and not versions.reaches(
                    versions.parse(page.resource_version), self._horizon
                ):  # the server was restored from a backup: believe it
                    self._versions.clear()
                    self._horizon = None
                    self._position = ""
                position = page.resource_version
                for obj in page.items:
                    present.add(versions.name_of(obj))
                    self._take(obj, listed=True)
        return position

    def _see(self, event: Event) -> None:
        version = versions.version_of(event.object)
        if event.type == DELETED:
            name, number = versions.name_of(event.object), versions.parse(version)
            if name and versions.reaches(number, self._versions.get(name)):
                self._drop(name, number)
        elif event.type != BOOKMARK:
            self._take(event.object)
        self._advance(version)

    def _advance(self, position: str) -> None:
        if versions.reaches(versions.parse(position), versions.parse(self._position)):
            self._position = position or self._position

    def _take(self, obj: Object, *, listed: bool = False) -> None:
        name = versions.name_of(obj)
        if not name:
            return
        version = versions.parse(versions.version_of(obj))
        if name in self._versions:
            if not versions.passes(version, self._versions[name]):
                return
        elif not listed and not versions.passes(version, self._horizon):
            return  # from before the list, which does not have it: it is gone
        try:
            new = self._project(obj)
        except Exception as error:  # noqa: BLE001 - one bad object must not stop the others
            what = f"{type(error).__name__}: {error}"
            log.warning("left out resource=%s name=%s error=%s", self.resource, name, what)
            return
        old = self._objects.get(name)
        self._objects[name] = new
        self._versions[name] = version
        self._tell(name, old, new)

    def _drop(self, name: str, version: versions.Version) -> None:
        old = self._objects.pop(name, None)
        self._versions[name] = version
        if old is not None:
            self._tell(name, old, None)

    def _tell(self, name: str, old: T | None, new: T | None) -> None:
        for handler in self._handlers:
            try:
                handler(name, old, new)
            except Exception:  # a handler's mistake must not end the watch
                log.exception("a handler failed: %s %s", self.resource, name)

    def _sign(self) -> None:
        self.last_sign = self._clock.monotonic()

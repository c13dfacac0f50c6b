"""A local copy of one kind of objects that follows the API server.

- Lists in pages, then watches with bookmarks; a dead resourceVersion (410) means: list again.
- Never ends and never spins: after any error it waits 0.5 to 10 s, or what ``Retry-After`` asks.
- A watch lasts 4 to 5 minutes and is cut after 70 s of silence; every 10 minutes it lists again.
- Keeps a projection of each object. An object that cannot be projected is logged and left out.
- Never goes back: older copies than the one at hand are dropped, whoever sent them.
- ``assume`` takes the answer to our own write, so that nobody acts on a copy from before it.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Generic, TypeVar

from dask_flows.deadline import Clock
from dask_flows.kube.api import BOOKMARK, DELETED, Api, Event, Object, list_all
from dask_flows.kube.backoff import Backoff
from dask_flows.kube.errors import Gone, KubeError
from dask_flows.kube.resources import Resource

T = TypeVar("T")
Handler = Callable[[str, T | None, T | None], None]
log = logging.getLogger(__name__)

RELIST = 600.0
SETTLED = 5.0  # a watch that lived this long was a good one


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
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self.last_sign = clock.monotonic()
        self._api = api
        self._namespace = namespace
        self._project = project
        self._clock = clock
        self._selector = {"labels": labels, "fields": fields}
        self._handlers: list[Handler[T]] = []
        self._objects: dict[str, T] = {}
        # Versions outlive deleted objects until the next list: a late copy must not revive them.
        self._versions: dict[str, int] = {}
        self._position = ""
        self._horizon = 0
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
        backoff = Backoff()
        while True:
            started = self._clock.monotonic()
            try:
                await self._follow()
                pause = 0.0
            except Gone:
                self._position = ""
                pause = backoff.next()
            except KubeError as error:
                log.warning("cannot follow resource=%s error=%s", self.resource, error)
                pause = backoff.next(error.retry_after)
            except Exception:  # whatever it was, following goes on
                log.exception("following failed, trying again: %s", self.resource)
                pause = backoff.next()
            self._sign()
            if self._clock.monotonic() - started >= SETTLED:
                backoff.reset()
            elif not pause:
                pause = backoff.next()  # a server that ends each watch at once
            await asyncio.sleep(pause)

    async def _follow(self) -> None:
        if not self._position or self._clock.monotonic() - self._listed >= RELIST:
            await self._list()
        watch = self._api.watch(
            self.resource,
            self._namespace,
            resource_version=self._position,
            seconds=random.randint(240, 300),  # noqa: S311 - spread, not secrecy
            **self._selector,
        )
        async with aclosing(watch) as events:
            async for event in events:
                self._sign()
                self._see(event)

    async def _list(self) -> None:
        page = await list_all(self._api, self.resource, self._namespace, **self._selector)
        self._sign()
        present = {_name(obj) for obj in page.items}
        horizon = _integer(page.resource_version)
        if horizon < self._horizon:  # the server was restored from a backup: believe it
            self._versions.clear()
        self._horizon = horizon
        for name in [n for n in self._objects if n not in present]:
            if self._versions.get(name, 0) <= horizon:  # else it was made after the list
                self._drop(name, horizon)
        self._versions = {n: v for n, v in self._versions.items() if n in self._objects}
        for obj in page.items:
            self._take(obj)
        self._position = page.resource_version
        self._listed = self._clock.monotonic()
        self.synced.set()

    def _see(self, event: Event) -> None:
        version = str((event.object.get("metadata") or {}).get("resourceVersion") or "")
        if event.type == DELETED:
            name = _name(event.object)
            if _integer(version) >= self._versions.get(name, 0):
                self._drop(name, _integer(version))
        elif event.type != BOOKMARK:
            self._take(event.object)
        self._position = version or self._position

    def _take(self, obj: Object) -> None:
        name = _name(obj)
        version = _integer((obj.get("metadata") or {}).get("resourceVersion"))
        if not name or version <= self._versions.get(name, -1):
            return
        try:
            new = self._project(obj)
        except Exception:  # one bad object must not stop the others
            log.exception("left out an object that cannot be read: %s %s", self.resource, name)
            return
        old = self._objects.get(name)
        self._objects[name] = new
        self._versions[name] = version
        self._tell(name, old, new)

    def _drop(self, name: str, version: int) -> None:
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


def _name(obj: Object) -> str:
    meta = obj.get("metadata") if isinstance(obj, dict) else None
    return str(meta.get("name") or "") if isinstance(meta, dict) else ""


def _integer(version: object) -> int:
    text = str(version or "")
    return int(text) if text.isdecimal() else 0

"""The copies that an informer holds: a projection of each object, never older than what was held before.

Versions outlive deleted objects until all is confirmed as of a later version: a late copy must not revive them.
What lists leave out (``unlisted``) cannot be confirmed: it is held if it was seen to become so, or asked for.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Generic, TypeVar

from dask_flows.kube import versions
from dask_flows.kube.api import Object
from dask_flows.kube.resources import Resource
from dask_flows.kube.versions import Version

T = TypeVar("T")
Handler = Callable[[str, T | None, T | None], None]
log = logging.getLogger(__name__)


class Copies(Generic[T]):
    """Hold ``project(object)`` by name; tell handlers what changed."""

    def __init__(
        self, resource: Resource, project: Callable[[Object], T], unlisted: Callable[[T], bool]
    ) -> None:
        self._resource = resource
        self._project = project
        self._unlisted = unlisted
        self._handlers: list[Handler[T]] = []
        self._objects: dict[str, T] = {}
        self._versions: dict[str, Version] = {}
        self._horizon: Version = None  # what is not held was deleted before
        self._left_out: dict[str, Version] = {}  # what cannot be projected

    def __iter__(self) -> Iterator[T]:
        """Go through all objects as of now."""
        return iter(list(self._objects.values()))

    def __len__(self) -> int:
        """Count the objects."""
        return len(self._objects)

    def get(self, name: str) -> T | None:
        """Return the object of this name."""
        return self._objects.get(name)

    def names(self) -> list[str]:
        """Return the names of all objects."""
        return list(self._objects)

    def subscribe(self, handler: Handler[T]) -> None:
        """Call ``handler(name, old, new)`` after each change; ``new`` is None for a deletion."""
        self._handlers.append(handler)

    def take(self, obj: Object, *, listed: bool = False) -> None:
        """Hold this copy, unless a newer one is held, or was and is deleted."""
        name = versions.name_of(obj)
        if not name:
            return
        version = versions.parse(versions.version_of(obj))
        if name in self._versions and not versions.passes(version, self._versions[name]):
            return
        try:
            new = self._project(obj)
        except Exception as error:  # noqa: BLE001 - one bad object must not stop the others
            what = f"{type(error).__name__}: {error}"
            log.warning("left out resource=%s name=%s error=%s", self._resource, name, what)
            self._left_out[name] = version
            return
        known = listed or name in self._versions or self._unlisted(new)
        if not known and not versions.passes(version, self._horizon):
            return  # from before the list, which does not have it: it is gone
        self._left_out.pop(name, None)
        old = self._objects.get(name)
        self._objects[name] = new
        self._versions[name] = version
        self._tell(name, old, new)

    def deleted(self, name: str, version: Version) -> None:
        """Hold an object no longer, unless a newer one of its name is held."""
        if name and versions.reaches(version, self._versions.get(name)):
            self._drop(name, version)

    def believe(self) -> None:
        """Take whatever comes next: the server was restored from a backup, and versions count from there."""
        self._versions.clear()
        self._left_out.clear()
        self._horizon = None

    def settle(self, present: Collection[str], horizon: Version) -> None:
        """Drop what a list of this version, which was taken, does not have."""
        for name in [n for n in self._objects if n not in present]:
            if versions.reaches(horizon, self._versions.get(name)):  # else made after the list
                self._drop(name, horizon)
        self.confirm(present, horizon)

    def confirm(self, present: Collection[str], horizon: Version) -> None:
        """Take note that all is held as a list of this version has it: older copies of others are of deleted ones."""
        self._horizon = horizon
        self._left_out = {n: version for n, version in self._left_out.items() if n in present}
        self._versions = {
            name: version
            for name, version in self._versions.items()
            if name in self._objects or not versions.reaches(horizon, version)
        }

    def missed(self, listed: Mapping[str, Version], horizon: Version) -> str:
        """Return the name of an object that a list of this version shows and we do not; empty if there is none."""
        known = {**self._versions, **self._left_out}
        for name, version in listed.items():
            if name not in known or not versions.reaches(known[name], version):
                return name
        gone = (
            n for n, one in self._objects.items() if n not in listed and not self._unlisted(one)
        )
        return next((n for n in gone if versions.reaches(horizon, self._versions.get(n))), "")

    def foreign(self, listed: Mapping[str, Version], horizon: Version) -> str:
        """Return the name of an object in a version that the list's server never had; empty if there is none.

        We hold it newer than listed, but not newer than the list: what made it so was lost with a restore.
        """
        for name, version in listed.items():
            held = self._versions.get(name)
            newer = held is not None and not versions.reaches(version, held)
            if newer and versions.reaches(horizon, held):
                return name
        return ""

    def _drop(self, name: str, version: Version) -> None:
        old = self._objects.pop(name, None)
        self._left_out.pop(name, None)
        self._versions[name] = version
        if old is not None:
            self._tell(name, old, None)

    def _tell(self, name: str, old: T | None, new: T | None) -> None:
        for handler in self._handlers:
            try:
                handler(name, old, new)
            except Exception:  # a handler's mistake must not end the watch
                log.exception("a handler failed: %s %s", self._resource, name)

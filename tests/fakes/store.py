"""The memory of the fake API server: objects, one counter of versions, and the history of changes."""

import itertools
import marshal
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dask_flows.kube.api import ADDED, DELETED, MODIFIED, Event
from dask_flows.kube.resources import Resource

Object = dict[str, Any]
Key = tuple[str, str, str]  # plural, namespace, name
REQUIREMENT = re.compile(
    r"(?:[^,(]|\([^)]*\))+"
)  # one of a label selector; commas in brackets part its values


@dataclass
class Change:
    """One entry of the history that watches read."""

    version: int
    resource: Resource
    namespace: str
    event: Event
    before: Object | None  # the object as it was; None if it is new


@dataclass
class Store:
    """Objects by key; every change gets the next version."""

    objects: dict[Key, Object] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)
    version: int = 0
    oldest: int = 0  # watches from before this are too old
    listeners: list[Callable[[], None]] = field(default_factory=list)
    _uids: Any = field(default_factory=lambda: itertools.count(1))

    def uid(self) -> str:
        """Return a new UID, the same in every run of a test."""
        return f"00000000-0000-4000-8000-{next(self._uids):012d}"

    def put(self, resource: Resource, namespace: str, obj: Object) -> Object:
        """Store an object under the next version and tell the watches."""
        key = (resource.plural, namespace, obj["metadata"]["name"])
        before = self.objects.get(key)
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = obj
        event = Event(MODIFIED if before else ADDED, clone(obj))
        self._note(Change(self.version, resource, namespace, event, before))
        return clone(obj)

    def drop(self, resource: Resource, namespace: str, name: str) -> None:
        """Remove an object and, as the garbage collector does, what it owns."""
        gone = self.objects.pop((resource.plural, namespace, name))
        self.version += 1
        gone["metadata"]["resourceVersion"] = str(self.version)
        event = Event(DELETED, clone(gone))
        self._note(Change(self.version, resource, namespace, event, gone))

    def owned_by(self, uid: str) -> list[tuple[str, str, str]]:
        """Return the keys of the objects that have this owner."""
        return [
            key
            for key, obj in self.objects.items()
            if any(o["uid"] == uid for o in obj["metadata"].get("ownerReferences") or [])
        ]

    def after(self, version: int) -> list[Change]:
        """Return the changes since a version, oldest first."""
        return self.history[bisect_right(self.history, version, key=lambda c: c.version) :]

    def forget_history(self) -> None:
        """Make every running and older watch too old (410)."""
        self.version += 1
        self.oldest = self.version
        self._wake()

    def _note(self, change: Change) -> None:
        self.history.append(change)
        self._wake()

    def _wake(self) -> None:
        for listener in list(self.listeners):
            listener()


def selected(obj: Object, labels: str, fields: str) -> bool:
    """Whether an object matches selectors such as ``a=b,c!=d,!e,f in (g,h)``."""
    have = obj["metadata"].get("labels") or {}
    if not all(_labelled(have, wanted) for wanted in REQUIREMENT.findall(labels)):
        return False
    parts = [part.rpartition("=") for part in fields.split(",") if part]
    return all(
        (_field(obj, path.rstrip("!")) == value) is not path.endswith("!")
        for path, _, value in parts
    )


def _labelled(have: dict[str, str], wanted: str) -> bool:
    if wanted.startswith("!"):
        return wanted[1:] not in have
    key, within, values = wanted.partition(" in ")
    if within:
        return have.get(key) in values.strip("()").split(",")
    key, _, value = wanted.partition("=")
    return (have.get(key.rstrip("!")) == value) is not key.endswith("!")


def seen_through(change: Change, labels: str, fields: str) -> Event | None:
    """Return what a watch with selectors is told: what they do not fit any more is deleted to it, as it was."""
    new, before = change.event.object, change.before
    fitted = before is not None and selected(before, labels, fields)
    if selected(new, labels, fields):
        return Event(change.event.type if fitted else ADDED, clone(new))
    if not fitted:
        return None
    gone = clone(before)
    gone["metadata"]["resourceVersion"] = new["metadata"]["resourceVersion"]
    return Event(DELETED, gone)


def clone(obj: Any) -> Any:
    """Copy plain JSON; in Python, half of the tests' time would go into it."""
    return marshal.loads(marshal.dumps(obj, 2))


def merge(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return clone(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def _field(obj: Object, path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value

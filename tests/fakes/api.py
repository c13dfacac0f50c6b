"""An API server in memory that speaks ``dask_flows.kube.api.Api``.

Its rules are the real server's where tests lean on them: one counter of versions, conditional patches,
status as its own subresource, labels and field selectors, paged lists, watches that resume or answer
410, UID preconditions, garbage collection by owner, pods that end gracefully.

``faults`` makes any call fail, before or after it took effect; ``writes`` is the log of all writes.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from dask_flows.deadline import timestamp
from dask_flows.kube import errors
from dask_flows.kube.api import BOOKMARK, PAGE, Event, Object, Page
from dask_flows.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    FLOWRUNS,
    JOBS,
    LEASES,
    NETWORK_POLICIES,
    PODS,
    SECRETS,
    SERVICES,
    Resource,
)
from fakes.clock import LoopClock
from fakes.faults import AFTER, BEFORE, Faults
from fakes.store import Store, clone, merge, seen_through, selected

RESOURCES = {
    r.plural: r
    for r in (
        FLOWRUNS, JOBS, PODS, SERVICES, NETWORK_POLICIES, CONFIG_MAPS, SECRETS, EVENTS, LEASES,
        DEPLOYMENTS,
    )
}  # fmt: skip
WITH_STATUS = {"flowruns", "jobs", "pods"}
BOOKMARK_EVERY = 60.0
Names = list[str]


class FakeApi:
    """One in-memory API server."""

    def __init__(self, clock: Any = None) -> None:
        self.clock = clock or LoopClock()
        self.store = Store()
        self.faults = Faults()
        self.writes: list[tuple[str, str, str]] = []
        self.requests: list[tuple[str, str, str]] = []
        self.admission: list[Callable[[Resource, Object], None]] = []
        self._log_lines: dict[str, list[str]] = {}

    # The protocol

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Read one object."""
        await self._step("get", resource, name, BEFORE)
        return clone(self._find(resource, namespace, name))

    async def list(
        self,
        resource: Resource,
        namespace: str,
        *,
        labels: str = "",
        fields: str = "",
        limit: int = PAGE,
        more: str = "",
    ) -> Page:
        """Read one page; the token is an offset into the sorted names."""
        await self._step("list", resource, "", BEFORE)
        found = [
            clone(obj)
            for (plural, ns, _), obj in sorted(self.store.objects.items())
            if (plural, ns) == (resource.plural, namespace) and selected(obj, labels, fields)
        ]
        start = int(more or 0)
        rest = str(start + limit) if start + limit < len(found) else ""
        return Page(found[start : start + limit], str(self.store.version), rest)

    async def create(
        self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False
    ) -> Object:
        """Create an object."""
        obj = clone(body)
        meta = obj["metadata"]
        if "name" not in meta:
            meta["name"] = f"{meta['generateName']}{self.store.uid()[-5:]}"
        await self._step("create", resource, meta["name"], BEFORE)
        for check in self.admission:
            check(resource, obj)
        if (resource.plural, namespace, meta["name"]) in self.store.objects:
            raise self._error(errors.AlreadyExists, "create", resource, meta["name"])
        if dry_run:
            return obj
        if resource.plural in WITH_STATUS:
            obj.pop("status", None)
        self._complete(resource, namespace, obj)
        made = self.store.put(resource, namespace, obj)
        self._wrote("create", resource, meta["name"])
        self._collect(resource, namespace, made)
        await self._step("create", resource, meta["name"], AFTER)
        return made

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Object,
        *,
        subresource: str = "",
    ) -> Object:
        """Merge into an object, if its version is still the one in the body."""
        verb = f"patch/{subresource}" if subresource else "patch"
        await self._step(verb, resource, name, BEFORE)
        old = self._find(resource, namespace, name)
        expected = (body.get("metadata") or {}).get("resourceVersion")
        if expected not in (None, old["metadata"]["resourceVersion"]):
            raise self._error(errors.Conflict, "patch", resource, name)
        new = merge(old, body)
        if resource.plural in WITH_STATUS:
            # Each side of the subresource keeps the other side as it was.
            kept = old if subresource == "status" else new
            status = new if subresource == "status" else old
            new = {**kept, "status": status.get("status", {})}
        new["metadata"] = {**new["metadata"], "uid": old["metadata"]["uid"]}
        made = self.store.put(resource, namespace, clone(new)) if new != old else old
        self._wrote(verb, resource, name)
        await self._step(verb, resource, name, AFTER)
        return clone(made)

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace: int | None = None,
    ) -> None:
        """Delete an object; a pod that has started ends only when its kubelet says so."""
        await self._step("delete", resource, name, BEFORE)
        obj = self._find(resource, namespace, name)
        if uid and obj["metadata"]["uid"] != uid:
            raise self._error(errors.Conflict, "delete", resource, name)
        self.remove(resource, namespace, name, grace=grace)
        self._wrote("delete", resource, name)
        await self._step("delete", resource, name, AFTER)

    async def watch(
        self,
        resource: Resource,
        namespace: str,
        *,
        resource_version: str,
        seconds: int,
        labels: str = "",
        fields: str = "",
    ) -> AsyncGenerator[Event, None]:
        """Follow changes."""
        await self._step("watch", resource, "", BEFORE)
        position, end = int(resource_version), self.clock.monotonic() + seconds
        news = asyncio.Event()
        self.store.listeners.append(news.set)
        try:
            while (left := end - self.clock.monotonic()) > 0:
                news.clear()
                if position < self.store.oldest:
                    raise self._error(errors.Gone, "watch", resource, "")
                for change in self.store.after(position):
                    position = change.version
                    mine = (change.resource, change.namespace) == (resource, namespace)
                    if mine and (seen := seen_through(change, labels, fields)):
                        yield seen
                await self._step("watching", resource, "", BEFORE)
                try:
                    # Not wait_for: up to Python 3.11 it may swallow a cancellation.
                    async with asyncio.timeout(min(left, BOOKMARK_EVERY)):
                        await news.wait()
                except TimeoutError:
                    if news.is_set():  # a bookmark never passes over what was not sent
                        continue
                    meta = {"resourceVersion": str(max(position, self.store.version))}
                    yield Event(BOOKMARK, {"kind": resource.kind, "metadata": meta})
        finally:
            self.store.listeners.remove(news.set)

    async def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str = "",
        follow: bool = False,
        tail: int | None = None,
        previous: bool = False,
    ) -> AsyncGenerator[str, None]:
        """Read what ``print_log`` put there."""
        self._find(PODS, namespace, pod)
        for line in self._log_lines.get(pod, [])[-tail if tail else 0 :]:
            yield line

    # What tests do to it

    def read(self, resource: Resource, name: str, namespace: str = "ns") -> Object:
        """Return an object as it is now, without a request."""
        return clone(self._find(resource, namespace, name))

    def names(self, resource: Resource, namespace: str = "ns") -> Names:
        """Return the names of all objects of a kind."""
        keys = self.store.objects
        return sorted(n for p, ns, n in keys if (p, ns) == (resource.plural, namespace))

    def add(self, resource: Resource, body: Object, namespace: str = "ns") -> Object:
        """Put an object there as somebody else would, status included."""
        obj = clone(body)
        self._complete(resource, namespace, obj)
        return self.store.put(resource, namespace, obj)

    def change(self, resource: Resource, name: str, patch: Object, namespace: str = "ns") -> Object:
        """Merge into an object as somebody else would, status included."""
        old = self._find(resource, namespace, name)
        return self.store.put(resource, namespace, merge(old, patch))

    def _collect(self, resource: Resource, namespace: str, obj: Object) -> None:
        """Take an object away whose owners are all gone, as the garbage collector does."""
        owners = {owner["uid"] for owner in obj["metadata"].get("ownerReferences") or ()}
        there = {other["metadata"]["uid"] for other in self.store.objects.values()}
        if owners and not owners & there:
            self.store.drop(resource, namespace, obj["metadata"]["name"])

    def remove(
        self, resource: Resource, namespace: str, name: str, *, grace: int | None = None
    ) -> None:
        """Delete an object as the server does, and what it owns."""
        obj = self._find(resource, namespace, name)
        if self._ends_slowly(resource, obj) and grace != 0:
            if "deletionTimestamp" not in obj["metadata"]:
                obj["metadata"]["deletionTimestamp"] = timestamp(self.clock.now())
                self.store.put(resource, namespace, obj)
            return
        self.store.drop(resource, namespace, name)
        for plural, ns, dependent in self.store.owned_by(obj["metadata"]["uid"]):
            self.remove(RESOURCES[plural], ns, dependent)

    def print_log(self, pod: str, *lines: str) -> None:
        """Let a container have printed these lines."""
        self._log_lines.setdefault(pod, []).extend(lines)

    # Inside

    def _find(self, resource: Resource, namespace: str, name: str) -> Object:
        try:
            return self.store.objects[(resource.plural, namespace, name)]
        except KeyError:
            raise self._error(errors.NotFound, "get", resource, name) from None

    def _complete(self, resource: Resource, namespace: str, obj: Object) -> None:
        meta = obj.setdefault("metadata", {})
        meta.setdefault("uid", self.store.uid())
        meta.setdefault("creationTimestamp", timestamp(self.clock.now()))
        meta.setdefault("generation", 1)
        meta["namespace"] = namespace
        if resource is SERVICES:
            obj["spec"].setdefault("clusterIP", f"10.96.0.{len(self.names(SERVICES)) + 10}")

    def _ends_slowly(self, resource: Resource, obj: Object) -> bool:
        status = obj.get("status") or {}
        return resource is PODS and status.get("phase") == "Running"

    def _wrote(self, verb: str, resource: Resource, name: str) -> None:
        self.writes.append((verb, resource.plural, name))

    async def _step(self, verb: str, resource: Resource, name: str, moment: str) -> None:
        if moment == BEFORE:
            self.requests.append((verb, resource.plural, name))
        await self.faults.meet(verb, resource.plural, name, moment)

    def _error(
        self, kind: type[errors.KubeError], verb: str, resource: Resource, name: str
    ) -> errors.KubeError:
        text = f"{resource} {name!r}: {kind.__name__}"
        return kind(text, verb=verb, resource=str(resource))

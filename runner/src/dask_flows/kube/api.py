"""What we ask of the Kubernetes API, as a protocol: the real client and the tests' fake both speak it.

Objects are plain dictionaries as the API sends them. Every call may raise a ``KubeError``.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from dask_flows.kube.backoff import Backoff
from dask_flows.kube.errors import Conflict, Gone, NotFound
from dask_flows.kube.resources import Resource

Object = dict[str, Any]
PAGE = 100  # objects: a page of 500 finished Jobs takes 20 MB while it is read, and three are read at once
LISTS = 5  # tries to read one list to its end

ADDED, MODIFIED, DELETED, BOOKMARK = "ADDED", "MODIFIED", "DELETED", "BOOKMARK"


@dataclass(frozen=True)
class Event:
    """One line of a watch."""

    type: str
    object: Object


@dataclass(frozen=True)
class Page:
    """A part of a list, all of it as of one ``resource_version``."""

    items: list[Object]
    resource_version: str
    more: str = ""


class Api(Protocol):
    """The Kubernetes API, one verb per method."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Read one object."""
        ...

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
        """Read one page of a consistent list; ``more`` is the token of the page before."""
        ...

    async def create(
        self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False
    ) -> Object:
        """Create an object; ``dry_run`` only asks whether it would be admitted."""
        ...

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Object,
        *,
        subresource: str = "",
    ) -> Object:
        """Merge into an object; a ``metadata.resourceVersion`` in the body makes it conditional."""
        ...

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace: int | None = None,
    ) -> None:
        """Delete an object and, in the background, what it owns; ``uid`` guards against a namesake."""
        ...

    def watch(
        self,
        resource: Resource,
        namespace: str,
        *,
        resource_version: str,
        seconds: int,
        labels: str = "",
        fields: str = "",
    ) -> AsyncGenerator[Event, None]:
        """Follow changes after ``resource_version`` until the server ends it; 410 raises Gone."""
        ...

    def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str = "",
        follow: bool = False,
        tail: int | None = None,
        previous: bool = False,
    ) -> AsyncGenerator[str, None]:
        """Read a container's output line by line, without line ends."""
        ...


async def pages(
    api: Api, resource: Resource, namespace: str, *, labels: str = "", fields: str = ""
) -> AsyncGenerator[Page, None]:
    """Read a whole list page by page; raises Gone if the server drops the snapshot meanwhile."""
    more = ""
    while True:
        page = await api.list(resource, namespace, labels=labels, fields=fields, more=more)
        yield page
        if not page.more:
            return
        more = page.more


async def list_all(
    api: Api, resource: Resource, namespace: str, *, labels: str = "", fields: str = ""
) -> Page:
    """Read a whole list into one page; begins again, a few times, if the snapshot is dropped."""
    backoff = Backoff()
    for left in reversed(range(LISTS)):
        items: list[Object] = []
        try:
            async with aclosing(
                pages(api, resource, namespace, labels=labels, fields=fields)
            ) as some:
                async for page in some:
                    items += page.items
                    version = page.resource_version
        except Gone:
            if not left:
                raise
            await asyncio.sleep(backoff.next())
        else:
            return Page(items, version)
    raise AssertionError("the loop returns or raises")


async def remove(
    api: Api,
    resource: Resource,
    namespace: str,
    name: str,
    *,
    uid: str = "",
    grace: int | None = None,
) -> bool:
    """Delete an object if it is there; return whether it was, False also for a namesake."""
    try:
        await api.delete(resource, namespace, name, uid=uid, grace=grace)
    except (NotFound, Conflict):
        return False
    return True

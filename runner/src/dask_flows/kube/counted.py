"""Count what is asked of the Kubernetes API, and how long the answers take.

A decorator like the others around the client: it changes no answer and no error.
"""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Protocol, TypeVar

from dask_flows.deadline import Clock
from dask_flows.kube.api import PAGE, Api, Event, Object, Page
from dask_flows.kube.errors import KubeError
from dask_flows.kube.resources import PODS, Resource

T = TypeVar("T")
GOOD, SILENT = "2xx", "none"


class Note(Protocol):
    """Takes down one request; ``seconds`` is None for what lasts by design."""

    def __call__(self, verb: str, resource: str, code: str, seconds: float | None) -> None:
        """Take it down."""
        ...


class Counted:
    """An Api that tells ``note`` of each request once it is answered."""

    def __init__(self, api: Api, note: Note, clock: Clock) -> None:
        self._api = api
        self._note = note
        self._clock = clock

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Read one object."""
        return await self._timed("get", resource, self._api.get(resource, namespace, name))

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
        """Read one page of a consistent list."""
        call = self._api.list(
            resource, namespace, labels=labels, fields=fields, limit=limit, more=more
        )
        return await self._timed("list", resource, call)

    async def create(
        self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False
    ) -> Object:
        """Create an object, or only ask whether it would be admitted."""
        call = self._api.create(resource, namespace, body, dry_run=dry_run)
        return await self._timed("create", resource, call)

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Object,
        *,
        subresource: str = "",
    ) -> Object:
        """Merge into an object."""
        call = self._api.patch(resource, namespace, name, body, subresource=subresource)
        return await self._timed("patch", resource, call, subresource)

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace: int | None = None,
    ) -> None:
        """Delete an object and, in the background, what it owns."""
        call = self._api.delete(resource, namespace, name, uid=uid, grace=grace)
        await self._timed("delete", resource, call)

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
        """Follow changes; counted once the server has answered, that is at the first event."""
        watch = self._api.watch(
            resource,
            namespace,
            resource_version=resource_version,
            seconds=seconds,
            labels=labels,
            fields=fields,
        )
        return self._at_first("watch", resource, watch)

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
        """Read a container's output line by line."""
        lines = self._api.logs(
            namespace, pod, container=container, follow=follow, tail=tail, previous=previous
        )
        return self._at_first("get", PODS, lines, "log")

    async def _timed(
        self, verb: str, resource: Resource, call: Awaitable[T], subresource: str = ""
    ) -> T:
        began = self._clock.monotonic()
        code = GOOD
        try:
            return await call
        except KubeError as error:
            code = _code(error)
            raise
        except BaseException:  # a call that is cut off has no answer
            code = SILENT
            raise
        finally:
            self._note(verb, _path(resource, subresource), code, self._clock.monotonic() - began)

    async def _at_first(
        self, verb: str, resource: Resource, answers: AsyncGenerator[T, None], subresource: str = ""
    ) -> AsyncGenerator[T, None]:
        noted, path = False, _path(resource, subresource)
        try:
            async with aclosing(answers) as open_answers:
                async for answer in open_answers:
                    if not noted:
                        noted = True
                        self._note(verb, path, GOOD, None)
                    yield answer
        except KubeError as error:
            if not noted:
                self._note(verb, path, _code(error), None)
            raise
        if not noted:  # it ended with nothing to say
            self._note(verb, path, GOOD, None)


def _code(error: KubeError) -> str:
    return str(error.code) if error.code else SILENT


def _path(resource: Resource, subresource: str) -> str:
    return f"{resource}/{subresource}" if subresource else str(resource)

"""The Kubernetes API handed on as it is: what stands around the client says only what it does otherwise."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dask_flows.kube.api import PAGE, Api, Event, Object, Page
from dask_flows.kube.resources import PODS, Resource

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as far as it matters to those who pass it on."""

    verb: str
    resource: Resource
    name: str = ""
    body: Object = field(default_factory=dict)
    subresource: str = ""
    dry_run: bool = False


class Through:
    """Passes every request on to another Api; a subclass puts something around all of them."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def _around(self, call: Call, go: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG002 - for those who override it
        """Make a call that has one answer."""
        return await go()

    def _along(self, call: Call, answers: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:  # noqa: ARG002 - for those who override it
        """Make a call that is answered bit by bit."""
        return answers

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Read one object."""
        call = Call("get", resource, name)
        return await self._around(call, lambda: self._api.get(resource, namespace, name))

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
        """Read one page of a list."""
        return await self._around(
            Call("list", resource),
            lambda: self._api.list(
                resource, namespace, labels=labels, fields=fields, limit=limit, more=more
            ),
        )

    async def create(
        self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False
    ) -> Object:
        """Create an object, or only ask whether it would be admitted."""
        name = str(body["metadata"].get("name") or "")
        return await self._around(
            Call("create", resource, name, body, dry_run=dry_run),
            lambda: self._api.create(resource, namespace, body, dry_run=dry_run),
        )

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
        return await self._around(
            Call("patch", resource, name, body, subresource),
            lambda: self._api.patch(resource, namespace, name, body, subresource=subresource),
        )

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace: int | None = None,
    ) -> None:
        """Delete an object."""
        await self._around(
            Call("delete", resource, name),
            lambda: self._api.delete(resource, namespace, name, uid=uid, grace=grace),
        )

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
        """Follow changes."""
        events = self._api.watch(
            resource,
            namespace,
            resource_version=resource_version,
            seconds=seconds,
            labels=labels,
            fields=fields,
        )
        return self._along(Call("watch", resource), events)

    def logs(self, namespace: str, pod: str, **options: Any) -> AsyncGenerator[str, None]:
        """Read a container's output."""
        lines = self._api.logs(namespace, pod, **options)
        return self._along(Call("get", PODS, pod, subresource="log"), lines)

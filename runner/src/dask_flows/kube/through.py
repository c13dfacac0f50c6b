"""The Kubernetes API handed on as it is: what stands around the client says only what it does otherwise."""

from collections.abc import AsyncGenerator
from typing import Any

from dask_flows.kube.api import PAGE, Api, Event, Object, Page
from dask_flows.kube.resources import Resource


class Through:
    """Passes every request on to another Api."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Read one object."""
        return await self._api.get(resource, namespace, name)

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
        return await self._api.list(
            resource, namespace, labels=labels, fields=fields, limit=limit, more=more
        )

    async def create(
        self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False
    ) -> Object:
        """Create an object, or only ask whether it would be admitted."""
        return await self._api.create(resource, namespace, body, dry_run=dry_run)

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
        return await self._api.patch(resource, namespace, name, body, subresource=subresource)

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
        await self._api.delete(resource, namespace, name, uid=uid, grace=grace)

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
        return self._api.watch(
            resource,
            namespace,
            resource_version=resource_version,
            seconds=seconds,
            labels=labels,
            fields=fields,
        )

    def logs(self, namespace: str, pod: str, **options: Any) -> AsyncGenerator[str, None]:
        """Read a container's output."""
        return self._api.logs(namespace, pod, **options)

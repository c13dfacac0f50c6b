"""The way from one agent to the API server: slow, uneven, and at times cut for minutes."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from dask_flows.kube.api import Event, Object, Page
from dask_flows.kube.errors import KubeError
from dask_flows.kube.resources import Resource
from fakes.api import FakeApi


class Lagging:
    """An Api whose every request, answer and event takes a while; ``freeze`` stops all of them.

    A frozen agent is one that SIGSTOP holds: what it has sent takes effect, and it learns nothing.
    """

    def __init__(self, api: FakeApi, seed: str, longest: float = 1.0) -> None:
        self._api = api
        self._random = random.Random(seed)
        self._longest = longest
        self._thawed = asyncio.Event()
        self._thawed.set()

    def freeze(self) -> None:
        """Stop everything between this agent and the server."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Go on where it stopped."""
        self._thawed.set()

    async def _lag(self) -> None:
        # Mostly quick, sometimes slow, as networks are.
        await asyncio.sleep(self._random.random() ** 4 * self._longest)
        await self._thawed.wait()

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Read one object."""
        return await self._slowly(self._api.get, resource, namespace, name)

    async def list(self, resource: Resource, namespace: str, **query: Any) -> Page:
        """Read one page."""
        page: Page = await self._slowly(self._api.list, resource, namespace, **query)
        return page

    async def create(self, resource: Resource, namespace: str, body: Object, **how: Any) -> Object:
        """Create an object."""
        return await self._slowly(self._api.create, resource, namespace, body, **how)

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Object, **how: Any
    ) -> Object:
        """Merge into an object."""
        return await self._slowly(self._api.patch, resource, namespace, name, body, **how)

    async def delete(self, resource: Resource, namespace: str, name: str, **how: Any) -> None:
        """Delete an object."""
        await self._slowly(self._api.delete, resource, namespace, name, **how)

    async def watch(
        self, resource: Resource, namespace: str, **query: Any
    ) -> AsyncGenerator[Event, None]:
        """Follow changes, each late by its own time, in their order."""
        await self._lag()
        async with aclosing(self._api.watch(resource, namespace, **query)) as events:
            async for event in events:
                await self._lag()
                yield event

    async def logs(self, namespace: str, pod: str, **how: Any) -> AsyncGenerator[str, None]:
        """Read a log."""
        async with aclosing(self._api.logs(namespace, pod, **how)) as lines:
            async for line in lines:
                yield line

    async def _slowly(self, call: Any, *args: Any, **query: Any) -> Any:
        await self._lag()
        try:
            answer = await call(*args, **query)
        except KubeError:
            await self._lag()
            raise
        await self._lag()
        return answer

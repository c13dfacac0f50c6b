"""The real Kubernetes client: raw JSON over the ``kubernetes`` package's connection.

That package gives the address, the credentials and TLS; its object models are left out, since they drop
fields they do not know and cost two hundred times more to read (see the benchmarks).
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from dask_flows.kube import nesting
from dask_flows.kube.answers import check, event_of
from dask_flows.kube.api import PAGE, Event, Object, Page
from dask_flows.kube.errors import KubeError, Unreachable
from dask_flows.kube.resources import PODS, Resource

MERGE = "application/merge-patch+json"
JSON = "application/json"
_NETWORK = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True)
class Patience:
    """How long to wait for the API server, in seconds."""

    connect: float = 10.0
    answer: float = 30.0
    # Bookmarks come about once a minute: a watch that is silent for longer has been cut off.
    silence: float = 70.0

    @property
    def request(self) -> aiohttp.ClientTimeout:
        """The limits of a call with one answer."""
        return aiohttp.ClientTimeout(total=self.answer, sock_connect=self.connect)

    @property
    def watch(self) -> aiohttp.ClientTimeout:
        """The limits of a watch."""
        return aiohttp.ClientTimeout(total=None, sock_connect=self.connect, sock_read=self.silence)

    @property
    def follow(self) -> aiohttp.ClientTimeout:
        """The limits of a log that is followed: programs may be silent for days."""
        return aiohttp.ClientTimeout(total=None, sock_connect=self.connect)


class KubeClient:
    """Speak to one API server; ``namespace`` is the caller's default, nothing here assumes it."""

    def __init__(
        self, settings: Configuration, namespace: str, patience: Patience | None = None
    ) -> None:
        self.namespace = namespace
        self._patience = patience or Patience()
        self._settings = settings
        self._rest = RESTClientObject(settings)

    @property
    def server(self) -> str:
        """The address of the API server."""
        return str(self._settings.host)

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._rest.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Read one object."""
        return await self._call("get", "GET", resource, namespace, name)

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
        query = {
            "labelSelector": labels,
            "fieldSelector": fields,
            "limit": limit,
            "continue": more,
        }
        answer = await self._call("list", "GET", resource, namespace, query=query)
        meta, items = answer.get("metadata") or {}, answer.get("items") or []
        if not isinstance(meta, dict) or not isinstance(items, list):
            raise KubeError("the answer is no list", where=resource.path(namespace))
        version, rest = meta.get("resourceVersion"), meta.get("continue")
        return Page(items, str(version or ""), str(rest or ""))

    async def create(
        self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False
    ) -> Object:
        """Create an object, or only ask whether it would be admitted."""
        query = {"dryRun": "All" if dry_run else ""}
        return await self._call("create", "POST", resource, namespace, body=body, query=query)

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
        return await self._call(
            "patch", "PATCH", resource, namespace, name, subresource=subresource, body=body
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
        """Delete an object and, in the background, what it owns."""
        # Jobs keep their old default, which orphans the pods, unless the policy is named.
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        options["propagationPolicy"] = "Background"
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        await self._call("delete", "DELETE", resource, namespace, name, body=options)

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
        """Follow changes until the server ends it; raises Unreachable after 70 s of silence.

        What comes without a line end is left out: the stream was cut there, and it comes again.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": seconds,
            "labelSelector": labels,
            "fieldSelector": fields,
        }
        path = resource.path(namespace)
        limits = self._patience.watch
        async with aclosing(self._lines("watch", resource, path, query, limits)) as lines:
            async for line, whole in lines:
                if whole and line.strip():
                    yield event_of(line, resource, path)

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
        """Read a container's output line by line."""
        query = {
            "container": container,
            "follow": "true" if follow else "",
            "tailLines": "" if tail is None else tail,
            "previous": "true" if previous else "",
        }
        path = PODS.path(namespace, pod, "log")
        limits = self._patience.follow
        async with aclosing(self._lines("get", PODS, path, query, limits)) as lines:
            async for line, _ in lines:
                yield line.decode("utf-8", errors="replace")

    async def _call(
        self,
        verb: str,
        method: str,
        resource: Resource,
        namespace: str,
        name: str = "",
        *,
        subresource: str = "",
        query: Mapping[str, Any] | None = None,
        body: Object | None = None,
    ) -> Object:
        path = resource.path(namespace, name, subresource)
        try:
            response = await self._send(method, path, query or {}, body, self._patience.request)
            async with response:
                await check(response, verb, resource, path)
                answer = nesting.loads(await response.read())
        except _NETWORK as error:
            raise self._unreachable(error, verb, resource) from error
        except ValueError as error:
            raise KubeError(f"the answer is not JSON: {error}", where=path) from error
        if not isinstance(answer, dict):
            raise KubeError("the answer is no object", where=path)
        return answer

    async def _lines(
        self, verb: str, resource: Resource, path: str, query: Mapping[str, Any], limits: Any
    ) -> AsyncGenerator[tuple[bytes, bool], None]:
        """Yield lines, and whether each was ended by a line end."""
        # Not aiohttp's own line reader: that one fails on lines over a few hundred kilobytes.
        try:
            response = await self._send("GET", path, query, None, limits)
            async with response:
                await check(response, verb, resource, path)
                begun: list[bytes] = []  # joined once: a long line comes in many pieces
                async for chunk in response.content.iter_any():
                    *ends, rest = chunk.split(b"\n")
                    for end in ends:
                        yield b"".join((*begun, end)), True
                        begun = []
                    begun.append(rest)
                if rest := b"".join(begun):
                    yield rest, False
        except _NETWORK as error:
            raise self._unreachable(error, verb, resource) from error

    async def _send(
        self, method: str, path: str, query: Mapping[str, Any], body: Object | None, limits: Any
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": JSON, "Content-Type": MERGE if method == "PATCH" else JSON}
        authentication: dict[str, Any] = dict(await self._settings.auth_settings())
        headers |= {str(a["key"]): str(a["value"]) for a in authentication.values()}
        text = urlencode({key: value for key, value in query.items() if value != ""})
        url = f"{self.server}{path}?{text}" if text else f"{self.server}{path}"
        answer = await self._rest.request(  # type: ignore[no-untyped-call]
            method, url, headers=headers, body=body, _request_timeout=limits
        )
        response: aiohttp.ClientResponse = answer.response
        return response

    def _unreachable(self, error: BaseException, verb: str, resource: Resource) -> Unreachable:
        cause = str(error) or type(error).__name__
        return Unreachable(
            f"the Kubernetes API did not answer: {cause}",
            where=self.server,
            do="check the network and the kubeconfig",
            verb=verb,
            resource=str(resource),
        )

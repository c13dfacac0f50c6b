"""Read what an API server sends: events of a watch, refusals, and what is neither.

Nothing here trusts the shape of an answer: a proxy in between may have its own.
"""

import aiohttp

from dask_flows.kube import nesting
from dask_flows.kube.api import Event, Object
from dask_flows.kube.errors import Garbled, Gone, KubeError, TooManyRequests, error_from
from dask_flows.kube.resources import Resource


def event_of(line: bytes, resource: Resource, path: str) -> Event:
    """Return the event in one line of a watch; raises Garbled, or what the server says instead."""
    try:
        event = nesting.loads(line)
        kind, obj = event["type"], event["object"]
    except (ValueError, KeyError, TypeError) as error:
        raise Garbled(f"the watch sent no event: {error}", where=path) from error
    if not isinstance(kind, str) or not isinstance(obj, dict):
        raise Garbled("the watch sent an event without an object", where=path)
    if kind == "ERROR":
        raise _refusal(obj, resource, path)
    return Event(kind, obj)


def _refusal(status: Object, resource: Resource, path: str) -> KubeError:
    """Return the error for what a watch says instead of an event."""
    code = status.get("code")
    error = error_from(
        code if isinstance(code, int) else 500,
        status,
        verb="watch",
        resource=str(resource),
        where=path,
    )
    if isinstance(error, Gone | TooManyRequests):
        return error
    # An object that the server cannot convert, for one: the same watch would meet it again.
    return Garbled(error.found, where=path, verb="watch", resource=str(resource))


async def check(response: aiohttp.ClientResponse, verb: str, resource: Resource, path: str) -> None:
    """Raise the error for an answer that is a refusal."""
    if response.ok:
        return
    try:
        payload = nesting.loads(await response.read())
    except ValueError:
        payload = None
    raise error_from(
        response.status,
        payload,
        verb=verb,
        resource=str(resource),
        where=path,
        retry_after=response.headers.get("Retry-After"),
    )

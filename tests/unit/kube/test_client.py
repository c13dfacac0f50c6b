"""The real client against a small HTTP server that behaves as API servers and networks do."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from dask_flows.kube import errors
from dask_flows.kube.api import list_all
from dask_flows.kube.client import KubeClient, Patience
from dask_flows.kube.resources import FLOWRUNS, JOBS, PODS, SECRETS

Handler = Callable[[web.Request], Any]


@asynccontextmanager
async def talking_to(
    handler: Handler, *, patience: Patience | None = None, **settings: Any
) -> AsyncIterator[KubeClient]:
    """Yield a client whose every request goes to ``handler``."""
    app = web.Application(client_max_size=10**7)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}", **settings)
    try:
        async with KubeClient(configuration, "ns", patience) as client:
            yield client
    finally:
        await runner.cleanup()


def echo(seen: list[dict[str, Any]], answer: Any = None) -> Handler:
    """Return a handler that notes requests and gives always the same answer."""

    async def handle(request: web.Request) -> web.Response:
        text = await request.text()
        seen.append(
            {
                "method": request.method,
                "path": request.path,
                "query": dict(request.query),
                "type": request.headers["Content-Type"],
                "auth": request.headers.get("Authorization"),
                "body": json.loads(text) if text else None,
            }
        )
        return web.json_response(answer if answer is not None else {})

    return handle


async def test_what_goes_over_the_wire() -> None:
    """Paths, methods, bodies and types as the API documents them."""
    seen: list[dict[str, Any]] = []
    async with talking_to(echo(seen)) as client:
        await client.get(PODS, "ns", "p")
        await client.create(SECRETS, "ns", {"a": 1}, dry_run=True)
        await client.patch(FLOWRUNS, "ns", "r", {"status": {}}, subresource="status")
        await client.delete(JOBS, "ns", "j", uid="u", grace=2)

    assert [(one["method"], one["path"], one["query"]) for one in seen] == [
        ("GET", "/api/v1/namespaces/ns/pods/p", {}),
        ("POST", "/api/v1/namespaces/ns/secrets", {"dryRun": "All"}),
        ("PATCH", "/apis/dask-flows.dev/v1alpha1/namespaces/ns/flowruns/r/status", {}),
        ("DELETE", "/apis/batch/v1/namespaces/ns/jobs/j", {}),
    ]
    assert seen[2]["type"] == "application/merge-patch+json"
    assert seen[3]["body"] == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "propagationPolicy": "Background",
        "preconditions": {"uid": "u"},
        "gracePeriodSeconds": 2,
    }


async def test_the_token_is_read_again_for_each_request() -> None:
    """Tokens of service accounts live for an hour, agents for months."""
    seen: list[dict[str, Any]] = []
    tokens = iter(["one", "two"])

    def hook(settings: Configuration) -> None:
        settings.api_key["BearerToken"] = f"Bearer {next(tokens)}"

    async with talking_to(echo(seen), api_key={"BearerToken": "Bearer old"}) as client:
        client._settings.refresh_api_key_hook = hook
        await client.get(PODS, "ns", "p")
        await client.get(PODS, "ns", "p")

    assert [one["auth"] for one in seen] == ["Bearer one", "Bearer two"]


async def test_lists_are_read_page_by_page() -> None:
    """With the token of the page before; an expired token begins again."""
    calls: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        more = request.query.get("continue", "")
        calls.append(more)
        if more == "t1" and calls.count("t1") == 1:
            return web.json_response({"kind": "Status", "message": "expired"}, status=410)
        meta = {"resourceVersion": "5", **({} if more else {"continue": "t1"})}
        return web.json_response({"metadata": meta, "items": [{"n": len(calls)}]})

    async with talking_to(handle) as client:
        page = await list_all(client, PODS, "ns", labels="a=b")

    assert calls == ["", "t1", "", "t1"]
    assert (len(page.items), page.resource_version) == (2, "5")


@pytest.mark.parametrize(
    ("status", "kind"), [(403, errors.Forbidden), (409, errors.Conflict), (503, errors.KubeError)]
)
async def test_refusals_are_our_errors(status: int, kind: type[Exception]) -> None:
    """With Retry-After, also when the body is no JSON."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=status, text="<html>", headers={"Retry-After": "4"})

    async with talking_to(handle) as client:
        with pytest.raises(kind) as caught:
            await client.get(PODS, "ns", "p")

    assert caught.value.retry_after == 4  # type: ignore[attr-defined]


async def test_no_server_is_unreachable() -> None:
    """With the address in the message."""
    async with KubeClient(Configuration(host="http://127.0.0.1:9"), "ns") as client:
        with pytest.raises(errors.Unreachable, match=r"127\.0\.0\.1:9"):
            await client.get(PODS, "ns", "p")


def lines(*events: Any, then: float = 0) -> Handler:
    """Return a handler that streams these lines, and stays silent for ``then`` seconds."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for event in events:
            text = event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n"
            await response.write(text)
        await asyncio.sleep(then)
        return response

    return handle


async def watch(client: KubeClient) -> list[Any]:
    """Return the events of one watch."""
    stream = client.watch(PODS, "ns", resource_version="1", seconds=300)
    return [(event.type, event.object) async for event in stream]


async def test_a_watch_yields_events_however_the_bytes_arrive() -> None:
    """Split anywhere, several at once, and one of 1.4 MB."""
    big = {"type": "ADDED", "object": {"data": "x" * 1_400_000}}
    first = json.dumps({"type": "ADDED", "object": {"n": 1}}).encode()
    async with talking_to(lines(first[:7], first[7:] + b"\n" + first + b"\n", big)) as client:
        events = await watch(client)

    assert [kind for kind, _ in events] == ["ADDED"] * 3
    assert len(events[2][1]["data"]) == 1_400_000


async def test_an_error_in_a_watch_is_raised() -> None:
    """410 as Gone, so that the informer lists again."""
    status = {"kind": "Status", "code": 410, "message": "too old"}
    async with talking_to(lines({"type": "ERROR", "object": status})) as client:
        with pytest.raises(errors.Gone):
            await watch(client)


@pytest.mark.parametrize("garbage", [b"{\n", b"[]\n", b'{"type": "ADDED"}\n', b"5\n"])
async def test_garbage_in_a_watch_is_an_error_and_no_crash(garbage: bytes) -> None:
    """The informer tries again."""
    async with talking_to(lines(garbage)) as client:
        with pytest.raises(errors.KubeError):
            await watch(client)


async def test_a_silent_watch_is_given_up() -> None:
    """Bookmarks come every minute; longer silence is a dead connection."""
    handler = lines({"type": "ADDED", "object": {}}, then=3)
    async with talking_to(handler, patience=Patience(silence=0.2)) as client:
        with pytest.raises(errors.Unreachable):
            await watch(client)


async def test_logs_come_line_by_line() -> None:
    """Without line ends, the last line too, whatever the bytes are."""
    async with talking_to(lines(b"one\ntw", b"o\n\xff\nthree")) as client:
        got = [line async for line in client.logs("ns", "p", container="runner", follow=True)]

    assert got == ["one", "two", "\ufffd", "three"]

"""A real HTTP server that speaks list and watch, and can be told to misbehave.

It holds whole pages of JSON and lines of bytes, not objects with rules: what a test puts there is sent
as it is. Behaviours are ordered as a queue per verb (``list``, ``watch``, ``write``): each request takes
the next one, and while none is left, everything is as it should be.
"""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from dask_flows.kube.client import KubeClient, Patience

Object = dict[str, Any]
Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def pod(name: str, version: int | str, mark: str = "", *, uid: str = "") -> Object:
    """Return a small object; ``mark`` is what tests look at."""
    meta = {"name": name, "namespace": "ns", "uid": uid or f"uid-{name}"}
    return {"metadata": {**meta, "resourceVersion": str(version)}, "mark": mark}


def line(kind: str, obj: Any) -> bytes:
    """Return one line of a watch."""
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


def refuse(code: int, *, after: str = "", body: Any = None) -> Behaviour:
    """Answer with an HTTP status, as the API server or something in front of it does."""

    async def behave(_: web.Request) -> web.Response:
        status = body if body is not None else {"kind": "Status", "code": code, "message": "no"}
        headers = {"Retry-After": after} if after else {}
        return web.json_response(status, status=code, headers=headers)

    return behave


def say(*pieces: bytes, then: str = "end") -> Behaviour:
    """Stream these bytes, one write each; ``then`` end, cut the connection or stay silent."""

    async def behave(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0)
        if then == "cut":
            assert request.transport is not None
            request.transport.abort()
        elif then == "silence":
            await asyncio.sleep(3600)
        return response

    return behave


def slowly(seconds: float) -> Behaviour:
    """Take a while, and then do what is right."""

    async def behave(_: web.Request) -> None:
        await asyncio.sleep(seconds)

    return behave


async def freeze(_: web.Request) -> None:
    """Accept the request and never answer, as a stopped process does."""
    await asyncio.sleep(3600)


@dataclass
class Hostile:
    """What the server holds, what it is to do, and what it has been asked."""

    objects: dict[str, Object] = field(default_factory=dict)
    version: int = 10
    page: int = 500
    bookmarks: float = 0.0  # seconds between bookmarks; 0: none
    always: dict[str, Behaviour] = field(default_factory=dict)
    orders: defaultdict[str, deque[Behaviour]] = field(default_factory=lambda: defaultdict(deque))
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    accepts: str = ""  # the token that is accepted, if it asks for one
    open: int = 0  # requests that are being answered
    watches: int = 0  # those that behave
    host: str = ""
    _history: list[tuple[int, bytes]] = field(default_factory=list)
    _runner: web.AppRunner | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, name: str, mark: str = "", *, uid: str = "") -> Object:
        """Add or change an object and tell the watches."""
        self.version += 1
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.objects[name] = pod(name, self.version, mark, uid=uid)
        self.tell(line(kind, self.objects[name]))
        return self.objects[name]

    def drop(self, name: str, *, tell: bool = True) -> None:
        """Delete an object; ``tell=False`` loses the event."""
        self.version += 1
        gone = self.objects.pop(name)
        gone["metadata"]["resourceVersion"] = str(self.version)
        if tell:
            self.tell(line("DELETED", gone))

    def tell(self, *lines: bytes) -> None:
        """Send these bytes to every watch, as they are."""
        self._history += [(self.version, one) for one in lines]
        self._news.set()

    async def watched(self) -> None:
        """Wait until a watch is open that behaves, so that what is told now reaches it."""
        await self.until(lambda: self.watches > 0)

    def order(self, verb: str, *behaviours: Behaviour) -> None:
        """Let the next requests of a verb be answered like this."""
        self.orders[verb].extend(behaviours)

    def count(self, verb: str) -> int:
        """Return how many requests of a verb there were."""
        return sum(asked == verb for asked, _ in self.asked)

    async def start(self) -> None:
        """Listen, at the same address as before."""
        app = web.Application(client_max_size=10**7)
        app.router.add_route("*", "/{path:.*}", self.handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
        await self._runner.setup()
        port = int(self.host.rsplit(":", 1)[1]) if self.host else 0
        await web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True).start()
        self.host = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Cut all connections and refuse new ones."""
        assert self._runner is not None
        await self._runner.cleanup()

    async def until(self, done: Callable[[], Any], seconds: float = 10) -> None:
        """Wait until something holds; fails after ``seconds``."""
        async with asyncio.timeout(seconds):
            while not done():  # noqa: ASYNC110 - real sockets, any condition
                await asyncio.sleep(0.01)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        reading = "watch" if "watch" in request.query else "list"
        verb = reading if request.method == "GET" else "write"
        self.asked.append((verb, dict(request.query)))
        self.tokens.append(request.headers.get("Authorization", ""))
        self.open += 1
        try:
            if self.accepts and self.tokens[-1] != f"Bearer {self.accepts}":
                return await _answer(refuse(401), request)
            orders = self.orders[verb]
            behave = orders.popleft() if orders else self.always.get(verb)
            if behave is not None and (answer := await behave(request)) is not None:
                return answer
            if verb == "write":
                return web.json_response({"metadata": {"name": "x"}})
            return await self._watch(request) if verb == "watch" else self._list(request)
        finally:
            self.open -= 1

    def _list(self, request: web.Request) -> web.Response:
        start = int(request.query.get("continue", 0))
        end = start + min(self.page, int(request.query.get("limit", self.page)))
        items = [self.objects[name] for name in sorted(self.objects)]
        more = {"continue": str(end)} if end < len(items) else {}
        meta = {"resourceVersion": str(self.version), **more}
        return web.json_response({"metadata": meta, "items": items[start:end]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        # Events after the position, then whatever comes, in the order of telling.
        asked = int(request.query["resourceVersion"])
        sent = next((i for i, (v, _) in enumerate(self._history) if v > asked), len(self._history))
        self.watches += 1
        try:
            await self._tell_all(response, sent)
        finally:
            self.watches -= 1
        return response

    async def _tell_all(self, response: web.StreamResponse, sent: int) -> None:
        while True:
            self._news.clear()
            for _, one in self._history[sent:]:
                await response.write(one)
            sent = len(self._history)
            try:
                async with asyncio.timeout(self.bookmarks or None):
                    await self._news.wait()
            except TimeoutError:
                meta = {"resourceVersion": str(self.version)}
                await response.write(line("BOOKMARK", {"metadata": meta}))


async def _answer(behave: Behaviour, request: web.Request) -> web.StreamResponse:
    answer = await behave(request)
    assert answer is not None
    return answer


@asynccontextmanager
async def serving() -> AsyncIterator[Hostile]:
    """Run a server on loopback."""
    server = Hostile()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def client_of(server: Hostile, patience: Patience | None = None) -> KubeClient:
    """Return the real client of a server."""
    return KubeClient(Configuration(host=server.host), "ns", patience)

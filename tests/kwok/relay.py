"""A bad road to the API server: an HTTP server that passes requests on, refuses them, or falls silent."""

import asyncio
import json
import ssl
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from yarl import URL

from kube import kubectl

KEPT = ("Authorization", "Accept", "Content-Type")


class Relay:
    """Pass on what is asked, with the rights of who asks."""

    def __init__(self, server: str, trust: ssl.SSLContext) -> None:
        self.url = ""
        self.asked: list[float] = []  # when, of time.monotonic()
        self._server, self._trust = server, trust
        self._refusal: tuple[int, dict[str, str]] | None = None
        self._open: set[asyncio.Task[Any]] = set()
        self._mute: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()

    def fall_silent(self) -> None:
        """Let every connection that is open now stay open, and bring nothing more; new ones are as before."""
        self._loop.call_soon_threadsafe(lambda: self._mute.update(self._open))

    def refuse(self, code: int, headers: dict[str, str]) -> None:
        """Answer everything with a status from now on, and end what is open."""

        def begin() -> None:
            self._refusal = code, headers
            for task in self._open:
                task.cancel()

        self._loop.call_soon_threadsafe(begin)

    def relent(self) -> None:
        """Pass everything on again."""
        self._refusal = None

    def work(self, ready: threading.Event) -> None:
        """Serve until the end, in a thread."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(ready))

    def end(self) -> None:
        """Serve no longer."""
        self._loop.call_soon_threadsafe(self._end.set)

    async def _serve(self, ready: threading.Event) -> None:
        app = web.Application(client_max_size=4 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._take)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        connector = TCPConnector(ssl=self._trust, limit=0)
        timeout = ClientTimeout(total=None)
        async with ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False
        ) as self._session:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}"
            ready.set()
            await self._end.wait()
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(time.monotonic())
        if self._refusal is not None:
            code, headers = self._refusal
            body = {"kind": "Status", "apiVersion": "v1", "code": code, "message": "a bad road"}
            return web.json_response(body, status=code, headers=headers)
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            return await self._pass_on(request, task)
        finally:
            self._open.discard(task)
            self._mute.discard(task)

    async def _pass_on(self, request: web.Request, task: asyncio.Task[Any]) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in KEPT if name in request.headers}
        url = URL(self._server + request.raw_path, encoded=True)
        body = await request.read()
        async with self._session.request(request.method, url, headers=headers, data=body) as answer:
            kind = {"Content-Type": answer.headers.get("Content-Type", "application/json")}
            passed = web.StreamResponse(status=answer.status, headers=kind)
            await passed.prepare(request)
            async for chunk in answer.content.iter_any():
                if task in self._mute:
                    await self._end.wait()
                await passed.write(chunk)
            await passed.write_eof()
            return passed


@contextmanager
def relay() -> Iterator[Relay]:
    """Serve in a thread of its own, on this machine, without TLS."""
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    cluster = config["clusters"][0]["cluster"]
    trust = ssl.create_default_context(
        cadata=b64decode(cluster["certificate-authority-data"]).decode()
    )
    made, ready = Relay(cluster["server"], trust), threading.Event()
    thread = threading.Thread(target=made.work, args=(ready,), name="relay", daemon=True)
    thread.start()
    assert ready.wait(30), "the relay did not start"
    try:
        yield made
    finally:
        with suppress(RuntimeError):  # its loop has ended: the thread has said why
            made.end()
        thread.join(30)

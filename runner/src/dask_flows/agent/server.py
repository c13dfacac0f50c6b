"""The agent's HTTP port: the attempt channel, ``/healthz`` and ``/readyz``."""

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from dask_flows.agent.channel import Answer, Channel

log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
PATH = r"/v1/attempts/{uid:[0-9a-f-]{1,64}}/{attempt:\d{1,6}}/{verb:[a-z]{1,16}}"


def make_app(
    channel: Channel, *, alive: Callable[[], bool], ready: Callable[[], bool]
) -> web.Application:
    """Return the application; ``alive`` and ``ready`` are asked at each probe."""

    async def call(request: web.Request) -> web.Response:
        info = request.match_info
        body = await _body(request)
        if body is None:
            return _response(Answer(400, {"message": "the body is not a JSON object"}))
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        answer = await channel.answer(info["verb"], info["uid"], int(info["attempt"]), token, body)
        log.debug("channel %s %s -> %d", info["verb"], info["uid"], answer.status)
        return _response(answer)

    async def healthz(_: web.Request) -> web.Response:
        return _probe(alive(), "the agent has lost track of the API server")

    async def readyz(_: web.Request) -> web.Response:
        return _probe(alive() and ready(), "the first lists are not complete")

    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post(PATH, call)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app


@asynccontextmanager
async def serving(app: web.Application, port: int, host: str | None = None) -> AsyncIterator[int]:
    """Serve on ``host``, by default on all addresses; yields the port, chosen freely for 0."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _body(request: web.Request) -> dict[str, Any] | None:
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _response(answer: Answer) -> web.Response:
    return web.json_response(dict(answer.body), status=answer.status)


def _probe(good: bool, otherwise: str) -> web.Response:  # noqa: FBT001
    return web.Response(text="ok\n" if good else f"{otherwise}\n", status=200 if good else 503)

"""The agent's HTTP ports: one with the attempt channel, ``/healthz`` and ``/readyz``, one with ``/metrics``.

Runners reach the first one, and the flow's own code with them: what concerns other runs is on the second.
"""

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from aiohttp import web

from dask_flows.agent.channel import Answer, Channel
from dask_flows.agent.exposition import CONTENT_TYPE
from dask_flows.agent.metrics import Metrics

log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
PATH = r"/v1/attempts/{uid:[0-9a-f-]{1,64}}/{attempt:\d{1,6}}/{verb:[a-z]{1,16}}"


class Probed(Protocol):
    """Says what is wrong; an empty text means nothing."""

    def trouble(self) -> str:
        """Say what is dead."""
        ...

    def missing(self) -> str:
        """Say what is not ready, or dead."""
        ...


def make_app(channel: Channel, health: Probed, metrics: Metrics) -> web.Application:
    """Return the application for runners and the kubelet; ``health`` is asked at each probe."""

    async def call(request: web.Request) -> web.Response:
        info = request.match_info
        body = await _body(request)
        if body is None:
            return _response(Answer(400, {"message": "the body is not a JSON object"}))
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        verb, uid = info["verb"], info["uid"]
        if verb == "finish":
            metrics.finishing(uid)
        answer = await channel.answer(verb, uid, int(info["attempt"]), token, body)
        metrics.called(verb, uid, answer.status)
        log.debug("channel verb=%s uid=%s code=%d", verb, uid, answer.status)
        return _response(answer)

    async def healthz(_: web.Request) -> web.Response:
        return _probe(health.trouble())

    async def readyz(_: web.Request) -> web.Response:
        return _probe(health.missing())

    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post(PATH, call)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app


def metrics_app(scrape: Callable[[], bytes]) -> web.Application:
    """Return the application for Prometheus."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=scrape(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
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
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _response(answer: Answer) -> web.Response:
    return web.json_response(dict(answer.body), status=answer.status)


def _probe(wrong: str) -> web.Response:
    return web.Response(text=f"{wrong or 'ok'}\n", status=503 if wrong else 200)

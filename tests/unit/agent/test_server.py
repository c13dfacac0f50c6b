"""The HTTP port, over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from dask_flows.agent.channel import Answer
from dask_flows.agent.metrics import Metrics
from dask_flows.agent.server import make_app, metrics_app, serving
from dask_flows.deadline import SystemClock

UID = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"


class Echo:
    """A channel that answers with what it was asked."""

    async def answer(self, *call: Any) -> Answer:
        """Say what was heard."""
        return Answer(200, {"call": list(call)})


class Condition:
    """What a probe is told."""

    def __init__(self, trouble: str = "", missing: str = "") -> None:
        self._trouble, self._missing = trouble, missing

    def trouble(self) -> str:
        """Say what is dead."""
        return self._trouble

    def missing(self) -> str:
        """Say what is not ready."""
        return self._missing or self._trouble


@asynccontextmanager
async def served(trouble: str = "", missing: str = "") -> AsyncIterator[Any]:
    """Yield a function that makes a request and returns status and body."""
    app = make_app(Echo(), Condition(trouble, missing), Metrics(SystemClock()))  # type: ignore[arg-type]
    async with serving(app, 0, "127.0.0.1") as port, aiohttp.ClientSession() as session:

        async def ask(method: str, path: str, **options: Any) -> tuple[int, Any]:
            async with session.request(method, f"http://127.0.0.1:{port}{path}", **options) as r:
                return r.status, await (r.json() if "json" in r.content_type else r.text())

        yield ask


async def test_a_call_reaches_the_channel() -> None:
    """Verb, UID, attempt, token and body as they were sent."""
    async with served() as ask:
        headers = {"Authorization": "Bearer t0ken"}
        status, body = await ask(
            "POST", f"/v1/attempts/{UID}/3/beat", json={"a": 1}, headers=headers
        )

        assert (status, body) == (200, {"call": ["beat", UID, 3, "t0ken", {"a": 1}]})


@pytest.mark.parametrize("body", [b"{", b"[]", b"5", b'"x"'])
async def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    """Before anybody looks into it."""
    async with served() as ask:
        assert (await ask("POST", f"/v1/attempts/{UID}/1/beat", data=body))[0] == 400


async def test_large_bodies_and_odd_paths_are_refused() -> None:
    """Nothing of a runner is larger than 64 KiB."""
    async with served() as ask:
        assert (await ask("POST", f"/v1/attempts/{UID}/1/beat", data=b"x" * 70_000))[0] == 413
        assert (await ask("POST", "/v1/attempts/../1/beat"))[0] == 404
        assert (await ask("GET", f"/v1/attempts/{UID}/1/beat"))[0] == 405


@pytest.mark.parametrize(
    ("trouble", "missing", "healthz", "readyz"),
    [
        ("", "", (200, "ok\n"), (200, "ok\n")),
        ("", "not listed", (200, "ok\n"), (503, "not listed\n")),
        ("dead", "", (503, "dead\n"), (503, "dead\n")),
    ],
)
async def test_probes(
    trouble: str, missing: str, healthz: tuple[int, str], readyz: tuple[int, str]
) -> None:
    """Alive is for the kubelet, ready is for the Service; both say what is wrong."""
    async with served(trouble, missing) as ask:
        assert await ask("GET", "/healthz") == healthz
        assert await ask("GET", "/readyz") == readyz


async def test_runners_do_not_reach_the_metrics() -> None:
    """Their port does not serve them; the other port serves nothing else."""
    async with served() as ask:
        assert (await ask("GET", "/metrics"))[0] == 404

    app = metrics_app(lambda: b"up 1\n")
    async with serving(app, 0, "127.0.0.1") as port, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}"
        async with session.get(f"{url}/metrics") as answer:
            assert (answer.status, await answer.read()) == (200, b"up 1\n")
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        async with session.post(f"{url}/v1/attempts/{UID}/1/start") as answer:
            assert answer.status == 404


async def test_it_stops_at_once_although_beats_are_held() -> None:
    """An upgrade of the agent does not wait for long polls."""

    class Held(Echo):
        async def answer(self, *call: Any) -> Answer:
            await asyncio.sleep(60)
            return await super().answer(*call)

    app = make_app(Held(), Condition(), Metrics(SystemClock()))  # type: ignore[arg-type]
    async with aiohttp.ClientSession() as session:
        async with serving(app, 0, "127.0.0.1") as port:
            url = f"http://127.0.0.1:{port}/v1/attempts/{UID}/1/beat"
            call = asyncio.create_task(session.post(url))
            await asyncio.sleep(0.1)
            began = asyncio.get_running_loop().time()

        assert asyncio.get_running_loop().time() - began < 5
        with pytest.raises(aiohttp.ClientError):
            await call

"""A proxy of the environment is found once, when the client is made."""

import json
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from dask_flows.kube.connect import connect
from dask_flows.kube.errors import Unreachable
from dask_flows.kube.resources import PODS

SERVER = "http://nobody.invalid:1"
CONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "one",
    "clusters": [{"name": "c", "cluster": {"server": SERVER}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
    "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
}


@pytest.mark.parametrize(("exempt", "asked"), [("", [f"{SERVER}/api/v1/namespaces/ns/pods/p"]), ("nobody.invalid", [])])  # fmt: skip
async def test_the_proxy_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exempt: str, asked: list[str]
) -> None:
    """HTTP_PROXY is used, NO_PROXY keeps it away."""
    seen = []

    async def answer(request: web.BaseRequest) -> web.Response:
        seen.append(str(request.url))
        return web.Response(text=json.dumps({"kind": "Pod"}))

    server = web.ServerRunner(web.Server(answer))
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    port = server.addresses[0][1]
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("no_proxy", exempt)
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(CONFIG))
    try:
        async with await connect(file=str(path)) as client:
            try:
                await client.get(PODS, "ns", "p")
            except Unreachable:
                assert not asked
    finally:
        await server.cleanup()

    assert seen == asked

"""Silence, refusals, outages and tokens: waited out calmly, made up for quickly.

Time-outs and pauses are parameters, and small here.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from dask_flows.deadline import SystemClock
from dask_flows.kube import connect as connecting
from dask_flows.kube.backoff import Backoff
from dask_flows.kube.client import Patience
from dask_flows.kube.errors import TooManyRequests, Unauthorized
from dask_flows.kube.resources import PODS
from dask_flows.kube.rhythm import USUAL, Rhythm
from fakes.following import QUICK, Follower, following
from fakes.hostile import (
    Behaviour,
    Hostile,
    client_of,
    freeze,
    pod,
    refuse,
    say,
    slowly,
)


async def test_a_silent_watch_is_noticed_and_nothing_is_lost(server: Hostile) -> None:
    """Row 14: a half-open connection says nothing; it is cut, and what came meanwhile arrives."""
    server.order("watch", say(then="silence"), freeze)
    async with following(server) as follower:
        server.put("a", "1")
        await server.until(lambda: follower.holds(a="1"), 5)

        assert (server.count("list"), server.count("watch")) == (1, 3)


def test_the_constants_in_use_keep_the_promises() -> None:
    """Row 14: silence is noticed within 75 s. Row 12: pauses end at 10 s, so 15 s after an outage."""
    patience, longest = Patience(), max(Backoff().next() for _ in range(20))

    assert patience.silence + USUAL.first_pause < 75
    assert patience.watch.sock_read == patience.silence
    assert patience.watch.sock_connect == patience.request.sock_connect == 10
    assert patience.request.total == 30
    assert USUAL.longest_pause == 10
    assert longest <= 10


async def test_bookmarks_keep_a_quiet_watch_alive(server: Hostile) -> None:
    """Row 14: quiet is not silent; and the next watch begins where the bookmark was."""
    server.bookmarks = 0.1
    async with following(server) as follower:
        server.version = 77
        await asyncio.sleep(1.2)
        assert server.count("watch") == 1

        server.bookmarks = 0
        await server.until(lambda: server.count("watch") == 2)
        server.put("a", "1")
        await server.until(lambda: follower.holds(a="1"))
        assert server.asked[-1][1]["resourceVersion"] == "77"


async def test_without_bookmarks_a_watch_is_renewed(server: Hostile) -> None:
    """Row 14: an old server, or a proxy that eats them, costs a watch a minute and no event."""
    async with following(server) as follower:
        await server.until(lambda: server.count("watch") >= 3)
        server.put("a", "1")
        await server.until(lambda: follower.holds(a="1"))

        assert server.count("list") == 1


@pytest.mark.parametrize("verb", ["list", "watch"])
async def test_retry_after_is_honoured_by_reads(server: Hostile, verb: str) -> None:
    """Row 13: the server says when to come back, and nobody comes before."""
    server.order(verb, refuse(429, after="1"))
    async with following(server, synced=False) as follower:
        server.put("a", "1")
        await server.until(lambda: server.count(verb) == 1)
        await asyncio.sleep(0.8)
        assert server.count(verb) == 1

        await server.until(lambda: follower.holds(a="1"))


@pytest.mark.parametrize(
    ("after", "seconds"),
    [("7", 7), ("0.5", 0.5), ("86400", 60), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None),
     ("nan", None), ("", None)],
)  # fmt: skip
async def test_retry_after_reaches_those_who_write(
    server: Hostile, after: str, seconds: float | None
) -> None:
    """Row 13: as a number of seconds, at most a minute; dates and nonsense are no number."""
    server.order("write", refuse(429, after=after))
    async with client_of(server, QUICK) as client:
        with pytest.raises(TooManyRequests) as caught:
            await client.create(PODS, "ns", {})

    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("details", [[], "x", {"retryAfterSeconds": "soon"}, None], ids=str)
async def test_a_status_of_any_shape_is_a_refusal(server: Hostile, details: Any) -> None:
    """Row 13: a proxy in between has its own ideas of what an error looks like."""
    status = {"kind": "Status", "message": ["no", "text"], "details": details}
    server.order("write", refuse(429, body=status))
    async with client_of(server, QUICK) as client:
        with pytest.raises(TooManyRequests):
            await client.create(PODS, "ns", {})


@pytest.mark.parametrize(
    "behaviour",
    [refuse(503), refuse(500), refuse(401), freeze],
    ids=["503", "500", "401", "frozen"],
)
async def test_an_outage_is_waited_out(server: Hostile, behaviour: Behaviour) -> None:
    """Row 13: a server that answers only errors, or not at all: calm meanwhile, quick afterwards."""
    server.put("a", "1")
    async with following(server, Rhythm(0.02, 0.1, 0.3, relist=0.0, recheck=0.05)) as follower:
        server.always |= {"list": behaviour, "watch": behaviour}
        server.order("watch", behaviour)
        await asyncio.sleep(1.0)
        asked = len(server.asked)
        server.drop("a", tell=False)
        server.put("b", "1")
        server.always.clear()
        await server.until(lambda: follower.holds(b="1"), 5)

        assert asked < 60


async def test_a_server_that_is_away_is_waited_for(server: Hostile) -> None:
    """Row 12: open connections are cut and new ones refused; then everything is there again."""
    server.put("a", "1")
    server.put("b", "1")
    async with following(server) as follower:
        await server.stop()
        await asyncio.sleep(0.5)
        server.drop("a")
        server.put("c", "1")
        await server.start()
        await server.until(lambda: follower.holds(b="1", c="1"), 5)


async def test_a_list_that_is_slow_gives_signs_of_life(server: Hostile) -> None:
    """Row 12: each page is a sign, so that a busy server does not get the agent restarted."""
    for number in range(6):
        server.objects[f"p{number}"] = pod(f"p{number}", number + 1, "1")
    server.page = 1
    server.always["list"] = slowly(0.3)
    signs: list[float] = []
    async with following(server, synced=False, patience=Patience(answer=10.0)) as follower:
        informer = follower.informer
        while not informer.synced.is_set():
            signs.append(SystemClock().monotonic() - informer.last_sign)
            await asyncio.sleep(0.02)

        assert server.count("list") == 6
        assert max(signs) < 1


async def test_a_list_that_never_ends_is_given_up_and_begun_again(server: Hostile) -> None:
    """Row 12: a page that does not come, and pages that never stop coming."""

    async def endless(_: Any) -> Any:
        await asyncio.sleep(0.01)
        return await say(b'{"metadata": {"resourceVersion": "1", "continue": "x"}}')(_)

    server.order("list", freeze, *[endless] * 40)
    server.put("a", "1")
    async with following(server, Rhythm(0.02, 0.1, 0.3, 600, 0.6), synced=False) as follower:
        await server.until(lambda: follower.holds(a="1"), 10)
        assert server.count("list") > 30


async def test_watches_that_end_at_once_do_not_spin(server: Hostile) -> None:
    """Row 25: an end is no error, and no reason to hurry; events between them arrive."""
    server.always["watch"] = say()
    async with following(server) as follower:
        await asyncio.sleep(1.0)
        assert 5 <= server.count("watch") <= 40
        assert server.count("list") == 1

        server.always.clear()
        server.put("a", "1")
        await server.until(lambda: follower.holds(a="1"))


def _kubeconfig(folder: Path, host: str) -> str:
    path = folder / "config"
    data = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": host}}],
        "users": [{"name": "u", "user": {"tokenFile": "token"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(yaml.safe_dump(data))
    return str(path)


async def test_a_rotated_token_is_read_at_once(server: Hostile, tmp_path: Path) -> None:
    """Row 37: lists, watches and writes take the token from the file as it is now; 401 is waited out."""
    token = tmp_path / "token"
    token.write_text("one\n")
    server.accepts = "one"
    async with await connecting.connect(file=_kubeconfig(tmp_path, server.host)) as client:
        follower = Follower(client)
        await asyncio.wait_for(follower.informer.synced.wait(), 10)
        server.accepts = "two"
        with pytest.raises(Unauthorized):
            await client.create(PODS, "ns", {})
        server.order("watch", refuse(401), refuse(401))
        await server.stop()  # so that it has to connect again
        await server.start()
        await asyncio.sleep(0.3)
        token.write_text("two\n")
        await client.create(PODS, "ns", {})
        server.put("a", "1")
        await server.until(lambda: follower.holds(a="1"))
        await follower.stop()

    assert set(server.tokens) == {"Bearer one", "Bearer two"}


@pytest.mark.parametrize("text", ["", "\n", None])
async def test_a_token_file_in_the_middle_of_its_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """Row 37: in a pod, a token that is empty or gone for a moment leaves the last one in use."""
    (tmp_path / "namespace").write_text("team\n")
    (tmp_path / "token").write_text("one")
    monkeypatch.setattr(connecting, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setattr(connecting.kubeconfig, "load_incluster_config", lambda **_: None)
    monkeypatch.setattr(
        connecting.kubeconfig, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    async with await connecting.connect() as client:
        client._settings.api_key["BearerToken"] = "Bearer zero"
        values = []
        for content in ("one", text, "two"):
            if content is None:
                (tmp_path / "token").unlink()
            else:
                (tmp_path / "token").write_text(content)
            authentication: dict[str, Any] = dict(await client._settings.auth_settings())
            values.append(authentication["BearerToken"]["value"])

    assert values == ["Bearer one", "Bearer one", "Bearer two"]
    assert client.namespace == "team"

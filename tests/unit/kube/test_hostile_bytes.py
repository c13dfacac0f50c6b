"""Lines split anywhere, large ones, and what is no event and no object.

Time-outs and pauses are parameters, and small here.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_flows.kube.client import KubeClient
from dask_flows.kube.errors import KubeError
from dask_flows.kube.resources import PODS
from fakes.following import QUICK, following
from fakes.hostile import (
    Hostile,
    client_of,
    line,
    pod,
    refuse,
    say,
    serving,
)


@st.composite
def split_watches(draw: st.DrawFn) -> tuple[list[str], list[bytes]]:
    """Return what some objects are marked with, and a watch that tells them, cut into pieces."""
    ends = st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b"\n \n"])
    marks = draw(st.lists(st.text(max_size=12), min_size=1, max_size=5))
    text = b"".join(
        line("ADDED", pod(f"p{n}", 11 + n, mark)).rstrip() + draw(ends)
        for n, mark in enumerate(marks)
    )
    cuts = sorted(draw(st.sets(st.integers(1, len(text) - 1), max_size=12)))
    return marks, [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def test_lines_may_be_split_anywhere() -> None:
    """Row 25: at any byte, with either line end, with empty lines, several at once."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def begin() -> tuple[Hostile, KubeClient]:
            server = await stack.enter_async_context(serving())
            return server, await stack.enter_async_context(client_of(server, QUICK))

        server, client = runner.run(begin())

        async def watch(pieces: list[bytes]) -> list[str]:
            server.order("watch", say(*pieces))
            stream = client.watch(PODS, "ns", resource_version="1", seconds=9)
            return [event.object["mark"] async for event in stream]

        @settings(max_examples=60, deadline=None, derandomize=True, database=None)
        @given(case=split_watches())
        def check(case: tuple[list[str], list[bytes]]) -> None:
            assert runner.run(watch(case[1])) == case[0]

        try:
            check()
        finally:
            runner.run(stack.aclose())


async def test_every_byte_for_itself(server: Hostile) -> None:
    """Row 25: the worst of all splits."""
    text = line("ADDED", pod("a", 11, "ä€")) + line("ADDED", pod("b", 12, "1"))
    server.order("watch", say(*(text[n : n + 1] for n in range(len(text)))))
    async with following(server) as follower:
        await server.until(lambda: follower.holds(a="ä€", b="1"))


@pytest.mark.parametrize("then", ["end", "cut"])
async def test_half_a_line_at_the_end_is_no_event(server: Hostile, then: str) -> None:
    """Row 25: the stream was cut there: the event comes again with the next watch, no list needed."""
    whole = line("ADDED", pod("b", 12, "1"))
    server.order("watch", say(line("ADDED", pod("a", 11, "1")), whole[:-9], then=then))
    async with following(server) as follower:
        server.put("a", "1")
        server.put("b", "1")
        await server.until(lambda: follower.holds(a="1", b="1"))

        assert server.count("list") == 1
        assert follower.changes == [("a", None, "1"), ("b", None, "1")]


async def test_an_object_of_the_largest_size(server: Hostile) -> None:
    """Row 29: a watch line of 1.4 MB is a line like any other, before and after small ones."""
    async with following(server) as follower:
        server.put("a", "1")
        server.put("big", "x" * 1_400_000)
        server.put("b", "1")
        await server.until(lambda: follower.informer.get("b") == "1")

        assert len(follower.informer.get("big") or "") == 1_400_000
        assert (server.count("list"), server.count("watch")) == (1, 1)


@pytest.mark.parametrize(
    "garbage",
    [
        b"{\n", b"[]\n", b"null\n", b"5\n", b"\xff\xfe\n", b"<html>\n", b'{"type": "ADDED"}\n',
        b'{"type": 5, "object": {}}\n', b'{"type": "ADDED", "object": [["a", 1]]}\n',
        b"[" * 100_000 + b"\n",
        line("ERROR", {"kind": "Status", "code": 500, "message": "cannot convert"}),
        line("ERROR", {"kind": "Status", "code": ["x"]}), line("ERROR", {}),
    ],
    ids=lambda text: text[:30].decode(errors="replace"),
)  # fmt: skip
async def test_what_is_no_event_means_a_new_list(server: Hostile, garbage: bytes) -> None:
    """Row 28: the same watch would meet it again, so everything is listed, once."""
    server.put("a", "1")
    async with following(server) as follower:
        await server.watched()
        server.tell(garbage)
        server.put("b", "1")
        await server.until(lambda: follower.holds(a="1", b="1"))
        server.put("c", "1")
        await server.until(lambda: follower.holds(a="1", b="1", c="1"))

        assert server.count("list") == 2


ODD: list[Any] = [
    {}, {"metadata": None}, {"metadata": []}, {"metadata": "x"}, {"metadata": {"name": None}},
    {"metadata": {"name": 5}}, {"metadata": {"name": "odd"}},
    {"metadata": {"name": "odd", "resourceVersion": None}},
    {"metadata": {"name": "odd", "resourceVersion": {"a": 1}}},
    {"metadata": {"name": "odd", "resourceVersion": "12"}},
    {"metadata": {"name": ["odd"], "resourceVersion": "12"}},
]  # fmt: skip


@pytest.mark.parametrize("kind", ["ADDED", "DELETED", "BOOKMARK", "PUZZLED"])
async def test_an_odd_object_stops_nobody_else(server: Hostile, kind: str) -> None:
    """Row 28: on a watch it is left out, and the watch goes on."""
    async with following(server) as follower:
        await server.watched()
        server.tell(*(line(kind, odd) for odd in ODD))
        server.put("good", "1")
        await server.until(lambda: follower.holds(good="1"))

        assert (server.count("list"), server.count("watch")) == (1, 1)


@pytest.mark.parametrize("items", [[*ODD, None, 5, "x", []], None], ids=["odd", "null"])
async def test_odd_objects_in_a_list(server: Hostile, items: Any) -> None:
    """Row 28: they are left out, and the good ones are there."""
    meta = {"resourceVersion": "10"}
    good = [pod("good", 3, "1")] if items else []
    server.order("list", refuse(200, body={"metadata": meta, "items": items and items + good}))
    async with following(server) as follower:
        assert follower.holds(**({"good": "1"} if items else {}))


@pytest.mark.parametrize(
    "body",
    [[], None, "x", 5, {}, {"metadata": []}, {"metadata": {"resourceVersion": "1"}, "items": "x"}],
    ids=str,
)
async def test_what_is_no_list_is_asked_for_again(server: Hostile, body: Any) -> None:
    """Row 28: with a pause; a list without a version could not be followed."""
    answer = say(b"null") if body is None else refuse(200, body=body)
    server.order("list", answer)
    server.put("a", "1")
    async with following(server) as follower:
        assert follower.holds(a="1")
        assert server.count("list") == 2


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>", b"[" * 100_000])
async def test_an_answer_to_a_write_may_be_anything(server: Hostile, body: bytes) -> None:
    """Row 28: what is no object is our error, so that the caller's rules for errors hold."""
    server.order("write", say(body))
    async with client_of(server, QUICK) as client:
        with pytest.raises(KubeError):
            await client.create(PODS, "ns", {})

"""One object that is nested deeper than Python reads stops nobody else: the API server takes 10,000 levels."""

import json
import tracemalloc
from typing import Any

import pytest
from aiohttp import web

from dask_flows.kube import nesting
from dask_flows.kube.answers import event_of
from dask_flows.kube.resources import PODS
from fakes.following import following
from fakes.hostile import pod, serving


def nested(levels: int, opening: str = '{"x":', closing: str = "}") -> str:
    """Return JSON of so many levels."""
    return opening * levels + "1" + closing * levels


def depth_of(value: Any) -> int:
    """Count levels without recursion."""
    depth = 0
    while isinstance(value, dict | list) and value:
        value = next(iter(value.values())) if isinstance(value, dict) else value[0]
        depth += 1
    return depth


@pytest.mark.parametrize(
    ("opening", "closing", "each"),
    [
        ('{"x":', "}", 1),
        ("[", "]", 1),
        ('[{"x":', "}]", 2),
        ('{"]}\\"[{": ', "}", 1),
        ('{"é":\n', "\n}", 1),
    ],
    ids=["objects", "lists", "both", "brackets in names", "spaces"],
)
@pytest.mark.parametrize("levels", [400, 2_000, 10_000])
def test_what_is_too_deep_is_cut_off(levels: int, opening: str, closing: str, each: int) -> None:
    """And nothing else: what stands before and after it is read as it is."""
    deep = nested(levels, opening, closing)
    text = f'{{"before": [1, "["], "deep": {deep}, "after": {{"a": "}}"}}}}'
    read = nesting.loads(text.encode())

    assert (read["before"], read["after"]) == ([1, "["], {"a": "}"})
    assert depth_of(read["deep"]) == (each * 400 if levels == 400 else nesting.DEEPEST - 1)


def test_several_are_cut_off_each() -> None:
    """A list has many objects."""
    text = f"[{nested(1_000)}, {{}}, {nested(1_000, '[', ']')}, 7]"

    first, empty, second, seven = nesting.loads(text.encode())
    assert (empty, seven) == ({}, 7)
    assert {depth_of(first), depth_of(second)} == {nesting.DEEPEST - 1}


@pytest.mark.parametrize("long", ["a" * 1_400_000, '\\"' * 700_000], ids=["plain", "escaped"])
def test_a_long_text_beside_it_takes_no_more_memory_than_itself(long: str) -> None:
    """An agent has half a gigabyte, and lists a hundred objects at once."""
    text = f'{{"deep": {nested(2_000)}, "long": "{long}"}}'.encode()
    tracemalloc.start()
    try:
        read = nesting.loads(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(read["long"]) in (1_400_000, 700_000)
    assert peak < 6 * len(text)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, nested(2_000)[:-1], nested(2_000) + "}", '{"a":' * 2_000 + '"', ""]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    """As it is where nothing is deep: by ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011 - the text is json's own
        nesting.loads(text.encode())


def test_a_watch_brings_such_an_object() -> None:
    """Row 29: it is told as any other."""
    line = f'{{"type": "ADDED", "object": {{"metadata": {{"name": "deep"}}, "spec": {nested(2_000)}}}}}'
    event = event_of(line.encode(), PODS, "")

    assert (event.type, event.object["metadata"]["name"]) == ("ADDED", "deep")


async def test_the_others_in_a_list_are_held() -> None:
    """Row 29: it comes first, and they come after it."""
    items = [pod("deep", 11, "1"), pod("b", 11, "1")]
    text = json.dumps({"metadata": {"resourceVersion": "11"}, "items": items})
    text = text.replace('"mark": "1"', f'"mark": "1", "spec": {nested(2_000)}', 1)

    async def listed(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type="application/json")

    async with serving() as server:
        server.always["list"] = listed
        async with following(server) as follower:
            assert follower.holds(deep="1", b="1")

"""Storms of 410, events out of order, and what is left at the end.

Time-outs and pauses are parameters, and small here.
"""

import asyncio
import logging
from typing import Any

import pytest

from dask_flows.deadline import SystemClock
from dask_flows.kube.rhythm import Rhythm
from fakes.following import following
from fakes.hostile import (
    Hostile,
    line,
    pod,
    refuse,
    say,
    slowly,
)


async def test_each_410_on_a_watch_costs_one_list(server: Hostile) -> None:
    """Row 25: one new list per 410, with a pause that grows, and nothing is lost or told twice."""
    gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
    server.order("watch", *[refuse(410)] * 3, *[say(line("ERROR", gone))] * 3)
    async with following(server) as follower:
        server.put("a", "1")
        await server.until(lambda: follower.holds(a="1") and server.count("watch") == 7)
        server.put("b", "1")
        await server.until(lambda: follower.holds(a="1", b="1"))

        assert server.count("list") == 1 + 6
        assert sorted(name for name, *_ in follower.changes) == ["a", "b"]


async def test_a_storm_of_410_does_not_spin(server: Hostile) -> None:
    """Row 25: a server that answers every watch with 410 gets a request per pause, and they grow."""
    server.always["watch"] = refuse(410)
    async with following(server, Rhythm(0.02, 0.5, settled=0.3)):
        await asyncio.sleep(1.6)

        # Pauses of 0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5 s, or half of each; one list after each.
        assert 2 <= server.count("list") <= 11
        assert server.count("watch") <= 11


async def test_a_slow_storm_of_410_does_not_spin_either(server: Hostile) -> None:
    """Row 25: that a list took its time does not make the watch after it a good one."""
    server.always |= {"watch": refuse(410), "list": slowly(0.35)}
    async with following(server, Rhythm(0.05, 1.0, settled=0.3)):
        await asyncio.sleep(3.6)

        assert server.count("list") <= 7  # without pauses that grow: 9 or 10


async def test_a_410_in_the_middle_of_a_list_begins_it_again(server: Hostile) -> None:
    """Row 25: with a pause each time, and complete in the end."""
    for number in range(25):
        server.objects[f"p{number:02}"] = pod(f"p{number:02}", number + 1, "1")
    server.page = 10
    good = slowly(0)
    server.order("list", *[good, refuse(410)] * 4, good, good, refuse(410))
    async with following(server) as follower:
        assert len(follower.informer) == 25
        assert server.count("list") == 4 * 2 + 3 + 3
        assert len(follower.changes) == 25


async def test_lists_whose_snapshots_always_expire_do_not_spin(server: Hostile) -> None:
    """Row 25: for ever, calmly, and with signs of life."""
    for number in range(3):
        server.objects[f"p{number}"] = pod(f"p{number}", number + 1, "1")
    server.page = 1

    async def expire(request: Any) -> Any:
        return await refuse(410)(request) if "continue" in request.query else None

    server.always["list"] = expire
    async with following(server, synced=False) as follower:
        await asyncio.sleep(1.0)
        silent = SystemClock().monotonic() - follower.informer.last_sign

        assert 5 <= server.count("list") <= 80
        assert not follower.informer.synced.is_set()
        assert silent < 1


async def test_events_twice_out_of_order_and_again(server: Hostile) -> None:
    """Row 25: each change is told once, in the order of versions, whatever arrives when."""
    a1, a2, a3 = (pod("a", version, str(version)) for version in (11, 12, 13))
    async with following(server) as follower:
        await server.watched()
        server.tell(
            line("ADDED", a1), line("ADDED", a1),            # twice
            line("MODIFIED", a3), line("MODIFIED", a2),      # the older one later
            line("ADDED", a3),                               # ADDED of what is there
            line("DELETED", pod("unknown", 14)),             # never seen
            line("DELETED", a2),                             # an old deletion
            line("MODIFIED", pod("b", 15, "1")),             # MODIFIED of what is not there
            line("ADDED", a1), line("MODIFIED", a2), line("MODIFIED", a3),  # all again
            line("DELETED", pod("b", 16)), line("ADDED", pod("b", 15, "1")),  # revived
            line("ADDED", pod("from-before-the-list", 9, "1")),
            line("ADDED", pod("end", 17, "1")),
        )  # fmt: skip
        await server.until(lambda: follower.informer.get("end") is not None)

        assert follower.changes == [
            ("a", None, "11"), ("a", "11", "13"), ("b", None, "1"), ("b", "1", None),
            ("end", None, "1"),
        ]  # fmt: skip
        assert (server.count("list"), server.count("watch")) == (1, 1)


async def test_a_position_never_goes_back(server: Hostile) -> None:
    """Row 25: after older events the next watch begins after the newest, not after the last."""
    server.order("watch", say(line("ADDED", pod("a", 30, "1")), line("ADDED", pod("b", 20, "1"))))
    async with following(server) as follower:
        await server.until(lambda: server.count("watch") == 2)

        assert server.asked[-1][1]["resourceVersion"] == "30"
        assert follower.holds(a="1", b="1")


async def test_versions_that_are_no_numbers_are_taken_as_they_come(server: Hostile) -> None:
    """Row 25: where nobody can tell which is newer, the later one counts."""
    server.order(
        "watch",
        say(
            line("ADDED", pod("a", "x9", "1")),
            line("MODIFIED", pod("a", "x1", "2")),
            line("MODIFIED", pod("a", "9" * 5000, "3")),
            line("ADDED", pod("b", "y", "1")),
            line("DELETED", pod("b", "z", "1")),
            then="silence",
        ),
    )
    async with following(server) as follower:
        await server.until(lambda: follower.changes[-1:] == [("b", "1", None)])

        assert follower.holds(a="3")


async def test_a_namesake_takes_the_place(server: Hostile) -> None:
    """Row 25: deleted and made again under the same name, with the deletion seen late or never."""
    first = server.put("a", "first", uid="u1")
    async with following(server) as follower:
        await server.watched()
        server.drop("a", tell=False)
        server.put("a", "second", uid="u2")
        first["metadata"]["resourceVersion"] = "11"
        server.tell(line("DELETED", first))
        server.put("end")
        await server.until(lambda: follower.informer.get("end") is not None)

        assert follower.informer.get("a") == "second"
        assert ("a", "first", "second") in follower.changes


async def test_a_list_without_an_object_is_its_deletion(server: Hostile) -> None:
    """Row 25: the event was lost; the next list tells, and a late copy does not revive it."""
    server.put("a", "1")
    late = dict(server.put("b", "1"))
    server.order("watch", say(then="silence"))
    async with following(server, Rhythm(0.02, 0.1, 0.3, 0.0, 0.3, recheck=0.05)) as follower:
        server.drop("b", tell=False)
        await server.until(lambda: follower.holds(a="1"), 5)
        follower.informer.assume(pod("b", 12, "1"))
        await server.watched()
        server.tell(line("MODIFIED", late))
        server.put("end")
        await server.until(lambda: follower.informer.get("end") is not None)

        assert follower.informer.get("b") is None


@pytest.mark.parametrize("verb", ["list", "watch"])
async def test_nothing_is_left_after_the_end(
    server: Hostile, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Row 14: cancelled in the middle of anything, no task, no open request and no complaint stays."""
    before = asyncio.all_tasks()
    server.order(verb, say(b'{"metadata"', then="silence"))
    with caplog.at_level(logging.ERROR):
        async with following(server, synced=False):
            await server.until(lambda: server.count(verb) == 1)
            await asyncio.sleep(0.05)
        await server.until(lambda: server.open == 0)
        await server.until(lambda: len(asyncio.all_tasks() - before) == 0, 2)

    assert not caplog.records

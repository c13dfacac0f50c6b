"""Limits with a whole agent: never more runs than places, the others wait as Queued, the oldest first."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from dask_flows.agent.board import REFRESH_FIRST
from dask_flows.agent.main import Agent
from dask_flows.agent.pace import Bucket, Paced
from dask_flows.flowrun import CLAIMED
from dask_flows.kube.errors import Forbidden, Unreachable
from dask_flows.kube.resources import FLOWRUNS
from fakes.faults import AFTER
from fakes.stage import Stage, playing
from samples import config_data

pytestmark = pytest.mark.looptime


def limited(most: int | None) -> dict[str, Any]:
    """Return the release's limit as the chart writes it."""
    return {"maxConcurrentRuns": most}


def profiles(**limits: int) -> dict[str, Any]:
    """Return profiles that differ from the release by their limit alone."""
    data = config_data("static")
    same = {key: data[key] for key in ("runs", "ephemeral", "templates")}
    return {name: {**same, "maxConcurrentRuns": most} for name, most in limits.items()}


def active(stage: Stage, **spec: Any) -> list[str]:
    """Return the runs that the API server says are claimed."""
    return [
        obj["metadata"]["name"]
        for (plural, _, _), obj in sorted(stage.api.store.objects.items())
        if plural == FLOWRUNS.plural
        and (obj.get("status") or {}).get("phase") in CLAIMED
        and spec.items() <= obj["spec"].items()
    ]


async def watch_limit(stage: Stage, most: int) -> None:
    """Fail as soon as there are more active runs."""
    while True:
        assert len(active(stage)) <= most
        await asyncio.sleep(0.02)


async def play_through(stage: Stage, names: list[str]) -> list[str]:
    """Let each run's runner do its work; returns the runs in the order they ran."""
    order = []

    async def one(name: str) -> None:
        runner = await stage.runner(name)
        order.append(name)
        await runner.start(stage.channel)
        await runner.beat(stage.channel, workers=1)
        await asyncio.sleep(1)
        await runner.finish(stage.channel)
        await stage.cleaned(name)

    async with asyncio.timeout(600):
        await asyncio.gather(*(one(name) for name in names))
    return order


async def submit(stage: Stage, *names: str, **spec: Any) -> list[str]:
    """Create runs one second apart."""
    for name in names:
        stage.submit(name, **spec)
        await asyncio.sleep(1)
    return list(names)


async def test_no_more_runs_than_places_and_all_of_them_end() -> None:
    """Two at a time; the others say their place."""
    async with playing("static", limits=limited(2)) as stage:
        watch = asyncio.create_task(watch_limit(stage, 2))
        names = await submit(stage, *"hgfedcba")
        assert active(stage) == ["g", "h"]
        await asyncio.sleep(2)
        text = "at most 2 runs at a time (agent.maxConcurrentRuns)"
        assert [stage.status(n)["message"] for n in "fe"] == [
            f"place 1 of 1: {text}",
            f"place 2 of 2: {text}",
        ]
        assert {stage.phase(n) for n in "fedcba"} == {"Pending/Queued"}

        order = [names[:2], names[2:4], names[4:6], names[6:]]
        ran = []
        for pair in order:
            ran += sorted(await play_through(stage, pair), reverse=True)

        assert ran == names
        watch.cancel()


async def test_the_limit_holds_through_restarts() -> None:
    """What is claimed is in status; a new agent counts it before it claims anything."""
    async with playing("static", limits=limited(2)) as stage:
        watch = asyncio.create_task(watch_limit(stage, 2))
        names = await submit(stage, *"hgfedcba")
        for pair in (names[:2], names[2:4], names[4:6], names[6:]):
            await stage.restart(mode="static", limits=limited(2))
            await asyncio.sleep(1)
            assert sorted(active(stage)) == sorted(pair)
            await play_through(stage, pair)
        watch.cancel()


async def test_places_are_told_once_and_refreshed_for_the_first() -> None:
    """A long line costs one write per run, and a few now and then for those that come next."""
    async with playing("static", limits=limited(1)) as stage:
        for number in range(300):
            stage.submit(f"run-{number:03}")
        await asyncio.sleep(10)
        writes = Counter(name for _, plural, name in stage.api.writes if plural == "flowruns")
        assert {count for name, count in writes.items() if name != "run-000"} == {1}
        assert stage.status("run-250")["message"].startswith("place 250 of 299:")

        stage.edit("run-000", cancel=True)
        await asyncio.sleep(100)
        after = Counter(name for _, plural, name in stage.api.writes if plural == "flowruns")
        assert stage.status("run-002")["message"].startswith("place 1 of 298:")
        assert stage.status("run-250")["message"].startswith("place 250 of 299:")
        rewritten = [name for name in after if after[name] > writes[name]]
        assert set(rewritten) <= {f"run-{n:03}" for n in range(REFRESH_FIRST + 2)}


async def test_a_new_agent_does_not_tell_everybody_again() -> None:
    """Status says it already."""
    async with playing("static", limits=limited(1)) as stage:
        for number in range(100):
            stage.submit(f"run-{number:03}")
        await asyncio.sleep(10)
        writes = len(stage.api.writes)
        await stage.restart(mode="static", limits=limited(1))
        await asyncio.sleep(10)

        assert len(stage.api.writes) - writes < 5


async def test_a_run_that_starts_at_once_is_not_called_queued() -> None:
    """Nobody wants to read of a queue in which nobody waits."""
    async with playing("static", limits=limited(5)) as stage:
        await submit(stage, *"abc")
        await play_through(stage, ["a", "b", "c"])

        reasons = {event["reason"] for event in stage_events(stage)}
        assert "Queued" not in reasons


def stage_events(stage: Stage) -> list[dict[str, Any]]:
    """Return the Events that were told."""
    return [obj for (plural, _, _), obj in stage.api.store.objects.items() if plural == "events"]


async def test_a_profiles_limit_holds_back_its_own_runs_only() -> None:
    """And says whose limit it is."""
    async with playing("static", limits=limited(5), profiles=profiles(small=1)) as stage:
        await submit(stage, "a", "b", profile="small")
        await submit(stage, "c", "d")

        assert active(stage) == ["a", "c", "d"]
        expected = "place 1 of 1: at most 1 run of profile small at a time (profiles.small.maxConcurrentRuns)"
        assert stage.status("b")["message"] == expected
        await play_through(stage, ["a"])
        await stage.until(lambda: "b" in active(stage))


async def test_the_shared_clusters_limit_holds_back_its_own_runs_only() -> None:
    """Runs with clusters of their own go ahead."""
    static = {**config_data("static")["static"], "maxConcurrentRuns": 1}
    async with playing("ephemeral", static=static, allowModeOverride=True) as stage:
        await submit(stage, "a", "b", mode="static")
        await submit(stage, "c")

        assert active(stage) == ["a", "c"]
        assert "on the shared cluster" in stage.status("b")["message"]


async def test_an_unknown_profile_ends_the_run_and_names_those_that_exist() -> None:
    """At once, however long the line is."""
    async with playing("static", limits=limited(0), profiles=profiles(small=1, large=1)) as stage:
        await submit(stage, "waits")
        stage.submit("wrong", profile="huge")
        await asyncio.sleep(1)

        assert stage.phase("wrong") == "Failed/InvalidSpec"
        message = stage.status("wrong")["message"]
        assert all(word in message for word in ("'huge'", "large, small", "spec.profile"))


async def test_a_profile_decides_pods_bounds_and_deadlines() -> None:
    """What the FlowRun itself says still wins."""
    own = profiles(big=5)["big"]
    own["templates"]["runner"]["spec"]["priorityClassName"] = "high"
    own["runs"] = {**own["runs"], "deadlineSeconds": 7200, "startDeadlineSeconds": 33}
    async with playing("static", profiles={"big": own}) as stage:
        await submit(stage, "a", profile="big")
        runner = await stage.runner("a")
        await submit(stage, "b")

        assert runner.object["spec"]["priorityClassName"] == "high"
        assert "priorityClassName" not in (await stage.runner("b")).object["spec"]
        stage.nodes.no_pods = True
        await submit(stage, "c", profile="big")
        await asyncio.sleep(40)
        assert stage.phase("c").startswith("Failed/")
        assert stage.condition("SettingsIgnored", "a") is None


async def test_a_lost_answer_never_lets_one_too_many_in() -> None:
    """The claim may have been written: its place stays held until that is known."""
    async with playing("static", limits=limited(1)) as stage:
        watch = asyncio.create_task(watch_limit(stage, 1))
        stage.api.faults.fail("patch/status", "flowruns", Unreachable("cut"), moment=AFTER, times=1)
        names = await submit(stage, *"abc")

        assert active(stage) == ["a"]
        assert await play_through(stage, names) == names
        watch.cancel()


async def test_a_run_that_may_not_be_claimed_holds_nobody_back() -> None:
    """Its status cannot be written; those behind it go."""
    async with playing("static", limits=limited(1)) as stage:
        stage.api.faults.fail("patch/status", "flowruns", Forbidden("no"), name="a", times=10**6)
        await submit(stage, "a", "b")

        assert active(stage) == ["b"]


async def test_a_flood_of_new_runs_does_not_hold_up_those_that_are_active() -> None:
    """Creations wait for their pace; what is written and deleted for a run that ends does not."""
    stage = Stage("static", limits=limited(None))
    bucket = Bucket(rate=0.2, burst=1, clock=stage.clock)
    stage.agent = Agent(Paced(stage.api, bucket), stage.config, stage.clock)
    stage.raise_curtain()
    try:
        await submit(stage, "first")
        runner = await stage.started("first")
        for number in range(50):
            stage.submit(f"run-{number:02}")
        await asyncio.sleep(100)
        assert bucket.waiting > 0
        began = stage.clock.monotonic()
        await runner.finish(stage.channel)
        await stage.cleaned("first")

        assert stage.clock.monotonic() - began < 5
        assert len(active(stage)) < 30
        await asyncio.sleep(5)
        assert "agent.rateLimit" in stage.status("run-40")["message"]
    finally:
        await stage.fall()


async def test_changing_a_limit_takes_effect_with_the_new_agent() -> None:
    """More places: the oldest go. Fewer: nobody is stopped, and nobody comes until enough have ended."""
    async with playing("static", limits=limited(1)) as stage:
        await submit(stage, *"abcde")
        await stage.restart(mode="static", limits=limited(3))
        await asyncio.sleep(1)
        assert active(stage) == ["a", "b", "c"]

        await stage.restart(mode="static", limits=limited(2))
        await play_through(stage, ["a"])
        await asyncio.sleep(2)
        assert active(stage) == ["b", "c"]
        await play_through(stage, ["b"])
        await stage.until(lambda: active(stage) == ["c", "d"])


async def test_a_run_that_is_released_or_cancelled_leaves_the_line() -> None:
    """A suspended run takes no place; resumed, it has the place of its age."""
    async with playing("static", limits=limited(1)) as stage:
        await submit(stage, *"abcd")
        stage.edit("b", suspend=True)
        stage.edit("c", cancel=True)
        await asyncio.sleep(2)
        assert [stage.phase(n) for n in "bc"] == ["Suspended", "Cancelled/Cancelled"]

        await play_through(stage, ["a"])
        await stage.until(lambda: active(stage) == ["d"])
        stage.submit("e")
        stage.edit("b", suspend=False)
        await asyncio.sleep(3)
        assert stage.phase("b") == "Pending/Queued"
        await play_through(stage, ["d"])
        await stage.until(lambda: active(stage) == ["b"])

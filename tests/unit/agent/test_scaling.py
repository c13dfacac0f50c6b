"""Workers: up at once, down slowly, never below or above, replaced when they die, never twice a number."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from dask_flows.agent.main import Agent
from dask_flows.agent.ownership import AT_ONCE, together
from dask_flows.agent.pace import Bucket, Paced
from dask_flows.agent.scaling import REST, Goal, Pacing, rescale
from dask_flows.agent.views import PodView
from dask_flows.kube.errors import KubeError
from dask_flows.kube.resources import PODS
from fakes.stage import Stage, playing


def worker(number: int, phase: str = "Running", **meta: Any) -> PodView:
    """Return a worker pod."""
    return PodView.of({"metadata": {"name": f"w-{number}", "uid": str(number), **meta},
                       "status": {"phase": phase}})  # fmt: skip


@pytest.mark.parametrize(
    ("wishes", "sizes"),
    [
        ([4], [4]),
        ([99, 0], [5, 5]),
        ([4, 2, 2, 2], [4, 4, 4, 2]),
        ([4, 2, 3, 2], [4, 4, 4, 3]),
        ([4, 2, 2, 4, 2, 2], [4, 4, 4, 4, 4, 4]),
        ([3, 0, 0, 0], [3, 3, 3, 1]),
    ],
    ids=["up at once", "bounds", "down after three", "to the most modest", "doubt", "minimum"],
)
def test_the_goal(wishes: list[int], sizes: list[int]) -> None:
    """Between 1 and 5 workers."""
    goal = Goal(1, 5, 1)
    seen = []
    for wish in wishes:
        goal.wish(wish, [])
        seen.append(goal.size)

    assert seen == sizes


def test_a_wish_that_confirms_a_guess_is_news() -> None:
    """What was shown because of the guess, or was not, is looked at again; once."""
    goal = Goal(1, 4, 2, guessed=True)

    assert goal.wish(2, [])
    assert not goal.wish(2, [])


def test_who_goes_first() -> None:
    """Pods that have not started, then idle workers, the youngest first; busy ones never."""
    workers = [worker(0), worker(1), worker(2), worker(3, "Pending")]
    idle = frozenset({"w-0", "w-1"})

    assert rescale(workers, 3, idle, 4).remove == ("w-3",)
    assert rescale(workers, 2, idle, 4).remove == ("w-3", "w-1")
    assert rescale(workers, 1, idle, 4).remove == ("w-3", "w-1", "w-0")
    assert rescale(workers, 0, frozenset(), 4).remove == ("w-3",)


def test_the_dead_are_replaced_and_removed() -> None:
    """Under new numbers; those on their way out do not count."""
    workers = [worker(0, "Failed"), worker(1, deletionTimestamp="now"), worker(2)]
    change = rescale(workers, 3, frozenset(), 7)

    assert (change.add, change.remove) == ((7, 8), ("w-0",))


def test_pacing_slows_down_replacements_but_not_growth() -> None:
    """Two at once, then pauses that grow to a minute; a quiet time forgives."""
    pacing, now, pauses = Pacing(2), 0.0, []
    for _ in range(9):
        pause = pacing.pause(2, 1, now)
        now += pause
        assert pause == 0 or pacing.pause(2, 1, now) == 0
        assert pacing.added(1, now) is None
        pauses.append(pause)

    assert pauses == [0, 0, 2, 4, 8, 16, 32, 60, 60]
    assert pacing.pause(3, 1, now + REST) == 0
    assert pacing.pause(3, 1, now + 200) == 0


def test_a_refusal_neither_speeds_up_nor_slows_down_what_dies() -> None:
    """Row 36: it has pauses of its own, which end when something is admitted, or nothing is missing."""
    pacing, now = Pacing(2), 0.0
    refused = KubeError("no", code=403)
    for pause in (0, 0, 2, 4):
        now += pause
        assert pacing.pause(2, 1, now) == 0
        for wait in (4, 8, 16):
            pacing.failed(refused, now)
            assert pacing.pause(2, 1, now) == wait
            now += wait
            assert pacing.pause(2, 1, now) == 0
        assert pacing.added(1, now) is None
        now = pacing.last  # as if it had been admitted at once
    assert pacing.pause(2, 1, now) == 8

    for wait in (4, 8, 8):
        pacing.failed(KubeError("down"), now)
        assert pacing.pause(2, 1, now) == wait
        now += wait
        assert pacing.pause(2, 1, now) == 0


def test_what_was_let_through_is_not_slowed_down() -> None:
    """Growth is added in parts, with short rests; what dies afterwards is replaced at its pace."""
    pacing, now = Pacing(1, tries=9, last=0.0), 0.0
    for missing in (12, 7):
        assert pacing.pause(13, missing, now) == 0
        assert pacing.added(5, now) == REST
        assert pacing.pause(13, missing - 5, now + 0.1) == pytest.approx(REST - 0.1)
        now += REST
    assert pacing.pause(13, 2, now) == 0
    assert pacing.added(2, now) is None
    assert pacing.pause(13, 1, now + REST) > 50

    assert pacing.pause(20, 7, now + REST) == 0
    assert pacing.pause(19, 1, now + REST) == 0
    assert pacing.due == 1  # the goal sank: the others are not due any more


@pytest.mark.looptime
class TestInACluster:
    """The same, played with pods."""

    def workers(self, stage: Stage) -> list[int]:
        """Return the numbers of the live workers."""
        pods = (stage.api.read(PODS, name) for name in stage.api.names(PODS) if "worker" in name)
        alive = (p["metadata"]["name"] for p in pods if "deletionTimestamp" not in p["metadata"])
        return sorted(int(name.rpartition("-")[2]) for name in alive)

    async def test_beats_scale_up_and_down(self) -> None:
        """To the maximum at once, and back to idle's end only when three beats agree."""
        async with playing() as stage:
            stage.submit(workers={"minimum": 1, "maximum": 4})
            runner = await stage.started()
            await runner.beat(stage.channel, scaling={"wanted": 9, "idle": []})
            await asyncio.sleep(2)

            assert self.workers(stage) == [0, 1, 2, 3]
            idle = [n for n in stage.api.names(PODS) if n.endswith(("worker-0", "worker-2"))]
            for _ in range(3):
                assert self.workers(stage) == [0, 1, 2, 3]
                await runner.beat(stage.channel, scaling={"wanted": 1, "idle": idle})
            await asyncio.sleep(2)
            assert self.workers(stage) == [1, 3]

    async def test_numbers_are_never_used_twice(self) -> None:
        """Not even by the next agent."""
        async with playing() as stage:
            stage.submit(workers={"minimum": 1, "maximum": 3})
            runner = await stage.started()
            await runner.beat(stage.channel, scaling={"wanted": 3, "idle": []})
            await asyncio.sleep(2)
            for name in stage.api.names(PODS):
                if name.endswith(("worker-1", "worker-2")):
                    stage.api.remove(PODS, "ns", name, grace=0)
            await stage.restart()
            await asyncio.sleep(2)
            await runner.beat(stage.channel, scaling={"wanted": 3, "idle": []})
            await asyncio.sleep(5)

            assert self.workers(stage) == [0, 3, 4]

    async def test_a_lost_worker_is_replaced(self) -> None:
        """Deleted or evicted: the cluster keeps its size."""
        async with playing() as stage:
            stage.submit(workers={"replicas": 2})
            await stage.started()
            base = stage.jobs()[0]
            stage.api.remove(PODS, "ns", f"{base}-worker-0")
            stage.nodes.end(f"{base}-worker-1", 137)
            await asyncio.sleep(5)

            assert self.workers(stage) == [2, 3]

    async def test_workers_that_die_at_once_are_no_storm(self) -> None:
        """In ten minutes some twenty pods, not thousands."""
        async with playing() as stage:
            stage.submit(workers={"replicas": 1})
            await stage.started()
            for _ in range(600):
                await asyncio.sleep(1)
                for number in self.workers(stage):
                    name = f"{stage.jobs()[0]}-worker-{number}"
                    if stage.api.read(PODS, name).get("status", {}).get("phase") == "Running":
                        stage.nodes.end(name, 1)

            made = [w for w in stage.api.writes if w[0] == "create" and "-worker-" in w[2]]
            assert 5 < len(made) < 30

    async def test_a_fixed_size_stays(self) -> None:
        """Equal bounds: whatever the scheduler wants."""
        async with playing() as stage:
            stage.submit(workers={"replicas": 2})
            runner = await stage.started()
            for wanted in (9, 0, 0, 0, 0):
                idle = stage.api.names(PODS)
                await runner.beat(stage.channel, scaling={"wanted": wanted, "idle": idle})
            await asyncio.sleep(3)

            assert self.workers(stage) == [0, 1]


@pytest.mark.looptime
async def test_growing_clusters_leave_hands_for_others() -> None:
    """Eight clusters wait for the pace of creations; a ninth run hears of its cancel; all get there."""
    async with playing() as stage:
        await stage.kill_agent()
        bucket = Bucket(10, 10, stage.clock)
        stage.agent = Agent(Paced(stage.api, bucket), stage.config, stage.clock)
        stage._acting = asyncio.create_task(stage.agent.run())
        runs = [f"run-{number}" for number in range(9)]
        for run in runs:
            stage.submit(run, workers={"minimum": 1, "maximum": 21})
        *growing, _ = [await stage.started(run) for run in runs]
        for runner in growing:
            more = {"wanted": 21, "idle": []}
            await runner.beat(stage.channel, workers=1, scaling=more)
        bucket.pause(3)  # as the API server may ask for
        await asyncio.sleep(1)
        stage.edit(runs[-1], cancel=True)
        await stage.until(lambda: stage.condition("Stopping", runs[-1]), 0.5)

        # 160 workers at ten a second: the pace is kept up.
        await asyncio.sleep(22)
        numbers = Counter(
            int(n.rpartition("-")[2]) for n in stage.api.names(PODS) if "-worker-" in n
        )
        assert [numbers[number] for number in range(1, 22)] == [8] * 20 + [0]


async def test_only_some_pods_are_made_at_once() -> None:
    """A run with hundreds of workers must not take the API server from all others."""
    working = peak = 0

    async def work() -> None:
        nonlocal working, peak
        working += 1
        peak = max(peak, working)
        await asyncio.sleep(1)
        working -= 1

    await together(*(work() for _ in range(50)))
    with pytest.raises(TimeoutError):  # when cancelled, those that wait are dropped without a word
        await asyncio.wait_for(together(*(work() for _ in range(50))), 0.5)

    assert peak == AT_ONCE

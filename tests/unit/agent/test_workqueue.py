"""Promises of the work queue."""

import asyncio
from collections import Counter

import pytest

from dask_flows.agent.workqueue import WorkQueue
from dask_flows.kube.errors import Conflict, KubeError
from fakes.clock import LoopClock

pytestmark = pytest.mark.looptime


async def start(
    queue: WorkQueue, seconds: float, workers: int = 4
) -> tuple[list[str], Counter[str]]:
    """Let workers take ``seconds`` per key; returns the log of keys and the most at once of each."""
    log: list[str] = []
    now: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def handle(key: str) -> None:
        log.append(key)
        now[key] += 1
        most[key] = max(most[key], now[key])
        await asyncio.sleep(seconds)
        now[key] -= 1

    for _ in range(workers):
        task = asyncio.create_task(queue.work(handle))
        task.set_name("worker")
    return log, most


@pytest.fixture(autouse=True)
async def no_workers_left():
    """Stop the workers of the test."""
    yield
    tasks = [task for task in asyncio.all_tasks() if task.get_name() == "worker"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_key_is_never_in_work_twice_at_once() -> None:
    """And comes again if it was added meanwhile, once."""
    queue = WorkQueue(LoopClock())
    log, most = await start(queue, 1)
    for _ in range(5):
        queue.add("a")
        await asyncio.sleep(0.1)
    await asyncio.sleep(5)

    assert log == ["a", "a"]
    assert most["a"] == 1


async def test_a_key_that_waits_is_not_added_again() -> None:
    """A hundred changes are one look."""
    queue = WorkQueue(LoopClock())
    for _ in range(100):
        queue.add("a")
    log, _ = await start(queue, 0)
    await asyncio.sleep(1)

    assert log == ["a"]


async def test_a_slow_key_holds_up_nobody_else() -> None:
    """As long as there are workers."""
    queue = WorkQueue(LoopClock())
    log, _ = await start(queue, 100)
    for key in "abc":
        queue.add(key)
    await asyncio.sleep(1)

    assert log == ["a", "b", "c"]


async def test_later_means_later_and_the_earliest_time_counts() -> None:
    """However often a time is asked for."""
    queue, clock = WorkQueue(LoopClock()), LoopClock()
    log, _ = await start(queue, 0)
    for seconds in (50, 10, 30):
        queue.add_after("a", seconds)
    await asyncio.sleep(9)
    assert log == []
    await asyncio.sleep(2)
    assert log == ["a"]
    await asyncio.sleep(100)

    assert log == ["a"]
    assert clock.monotonic() > 100


async def test_pauses_grow_for_the_key_that_fails_alone() -> None:
    """To a minute, and from the beginning after a success."""
    queue = WorkQueue(LoopClock())
    oops = ValueError()
    pauses = [queue.failed("a", oops) for _ in range(12)]

    assert pauses[:4] == [0.2, 0.4, 0.8, 1.6]
    assert max(pauses) == 60
    assert queue.failed("b", oops) == 0.2
    queue.succeeded("a")
    assert queue.failed("a", TypeError()) == 0.2
    assert queue.errors == {"ValueError": 13, "TypeError": 1}


async def test_keys_that_wait_for_nothing_let_others_come_to_their_turn() -> None:
    """After a restart thousands of runs that are over are looked at, and beats must not wait for all of them."""
    queue, done = WorkQueue(LoopClock()), 0

    async def handle(_: str) -> None:
        nonlocal done
        done += 1

    for number in range(1000):
        queue.add(f"run-{number}")
    asyncio.create_task(queue.work(handle)).set_name("worker")
    for _ in range(10):
        await asyncio.sleep(0)

    assert 0 < done < 20


async def test_an_outage_is_no_reason_for_long_pauses_after_it() -> None:
    """What failed twenty times with short pauses and then meets somebody else's change is tried again soon."""
    queue = WorkQueue(LoopClock())
    pauses = [queue.failed("run", KubeError("down"), 10) for _ in range(25)]

    assert max(pauses) == pauses[-1] == 10
    assert queue.failed("run", Conflict("changed")) <= 15

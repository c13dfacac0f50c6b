"""Creations keep a pace; nothing else waits for it."""

import asyncio

import pytest

from dask_flows.agent.pace import LONGEST_PAUSE, Bucket, Paced
from dask_flows.kube.errors import Conflict, KubeError, TooManyRequests
from dask_flows.kube.resources import EVENTS, JOBS, NETWORK_POLICIES, SECRETS
from fakes.api import FakeApi
from fakes.clock import LoopClock

pytestmark = pytest.mark.looptime


class Shop:
    """A paced API, and when each object was created, in seconds."""

    def __init__(self, rate: float = 20, burst: int = 40) -> None:
        self.clock = LoopClock()
        self.api = FakeApi(self.clock)
        self.bucket = Bucket(rate, burst, self.clock)
        self.paced = Paced(self.api, self.bucket)
        self.made: dict[str, float] = {}
        self._began = self.clock.monotonic()

    async def make(self, *names: str, resource=JOBS, dry_run: bool = False) -> None:  # type: ignore[no-untyped-def]
        """Create objects at the same time."""
        await asyncio.gather(*(self._make(name, resource, dry_run) for name in names))

    async def _make(self, name, resource, dry_run) -> None:  # type: ignore[no-untyped-def]
        body = {"metadata": {"name": name}, "data": {}}
        await self.paced.create(resource, "ns", body, dry_run=dry_run)
        self.made[name] = round(self.clock.monotonic() - self._began, 3)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return round(self.clock.monotonic() - self._began, 3)


async def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    """40 are there; from then on 20 come each second, never more."""
    shop = Shop(rate=20, burst=40)
    await shop.make(*(f"n{n:03}" for n in range(100)))

    times = list(shop.made.values())
    assert times[:40] == [0] * 40
    assert times[40:] == [round((n + 1) / 20, 3) for n in range(60)]


async def test_first_come_is_first_served() -> None:
    """Also when some give up waiting."""
    shop = Shop(rate=1, burst=1)
    names = [f"n{n}" for n in range(6)]
    tasks = [asyncio.create_task(shop.make(name)) for name in names]
    await asyncio.sleep(0.5)
    tasks[2].cancel()
    await asyncio.wait(tasks)

    assert shop.made == {"n0": 0, "n1": 1, "n3": 2, "n4": 3, "n5": 4}
    assert shop.bucket.waiting == 0


async def test_a_rest_fills_the_bucket_and_no_more() -> None:
    """An idle hour is not a licence for a flood."""
    shop = Shop(rate=2, burst=3)
    await shop.make("a", "b", "c")
    await asyncio.sleep(3600)
    await shop.make(*"defgh")

    assert list(shop.made.values()) == [0, 0, 0, 3600, 3600, 3600, 3600.5, 3601]


async def test_nothing_else_waits() -> None:
    """Status, deletions and reads; Events, policies and dry runs need no token."""
    shop = Shop(rate=0.01, burst=1)
    await shop.make("first")
    waiting = asyncio.create_task(shop.make("second"))
    await asyncio.sleep(0)

    await shop.paced.patch(JOBS, "ns", "first", {"data": {"a": "b"}})
    await shop.paced.get(JOBS, "ns", "first")
    await shop.paced.list(JOBS, "ns")
    await shop.paced.delete(JOBS, "ns", "first")
    await shop.make("event", resource=EVENTS)
    await shop.make("policy", resource=NETWORK_POLICIES)
    await shop.make("asked", dry_run=True)

    assert (shop.now, shop.bucket.waiting) == (0, 1)
    waiting.cancel()


@pytest.mark.parametrize(
    "error",
    [
        TooManyRequests("slow down", retry_after=7),
        KubeError("not now", code=503, retry_after=7),
    ],
)
async def test_retry_after_holds_for_every_creation(error: KubeError) -> None:
    """Those that wait already, too; afterwards there is no burst."""
    shop = Shop(rate=10, burst=5)
    shop.api.faults.fail("create", "secrets", error)
    with pytest.raises(KubeError):
        await shop.make("refused", resource=SECRETS)
    await shop.make("a", "b", "c")

    assert shop.made == {"a": 7.1, "b": 7.2, "c": 7.3}


async def test_those_that_wait_hear_of_a_pause() -> None:
    """The one whose token was about to come waits on."""
    shop = Shop(rate=1, burst=1)
    await shop.make("a")
    waiting = asyncio.create_task(shop.make("b", "c"))
    await asyncio.sleep(0.5)
    shop.bucket.pause(10)
    await waiting

    assert shop.made == {"a": 0, "b": 11.5, "c": 12.5}


async def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    """Answers come in any order."""
    shop = Shop(rate=10, burst=5)
    shop.bucket.pause(10)
    shop.bucket.pause(1)
    await shop.make("a")

    assert shop.made == {"a": 10.1}


async def test_a_pause_has_an_end() -> None:
    """A proxy that says an hour does not stop the agent for an hour."""
    shop = Shop(rate=10, burst=5)
    shop.api.faults.fail("create", "secrets", TooManyRequests("later", retry_after=3600))
    with pytest.raises(TooManyRequests):
        await shop.make("refused", resource=SECRETS)
    await shop.make("a")

    assert shop.made == {"a": LONGEST_PAUSE + 0.1}


async def test_other_refusals_pause_nothing() -> None:
    """A name that is taken says nothing about load."""
    shop = Shop()
    shop.api.faults.fail("create", "secrets", Conflict("taken", retry_after=5))
    with pytest.raises(Conflict):
        await shop.make("refused", resource=SECRETS)
    await shop.make("a")

    assert shop.made == {"a": 0}

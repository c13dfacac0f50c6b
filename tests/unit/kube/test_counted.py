"""Counting requests: every one once, none changed."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from dask_flows.kube.counted import Counted
from dask_flows.kube.errors import KubeError, Unreachable, error_from
from dask_flows.kube.resources import FLOWRUNS, PODS, SECRETS, Resource
from fakes.api import FakeApi
from fakes.clock import LoopClock

pytestmark = pytest.mark.looptime
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}}


class Notes:
    """What was taken down."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.seconds: list[float | None] = []

    def __call__(self, verb: str, resource: str, code: str, seconds: float | None) -> None:
        self.counts[verb, resource, code] += 1
        self.seconds.append(seconds)


def counted() -> tuple[Counted, FakeApi, Notes]:
    """Return an API that is counted, the one below it, and the notes."""
    api, notes = FakeApi(), Notes()
    return Counted(api, notes, LoopClock()), api, notes


async def test_every_verb_is_counted_with_its_resource() -> None:
    """The answers are those of the API; a subresource is a resource of its own, as in RBAC."""
    api, _, notes = counted()
    made = await api.create(PODS, "ns", POD)
    assert await api.get(PODS, "ns", "p") == made
    assert len((await api.list(PODS, "ns")).items) == 1
    patched = await api.patch(
        PODS, "ns", "p", {"status": {"phase": "Running"}}, subresource="status"
    )
    assert patched["status"]["phase"] == "Running"
    await api.delete(PODS, "ns", "p", grace=0)

    wanted = [
        ("create", "pods"),
        ("get", "pods"),
        ("list", "pods"),
        ("patch", "pods/status"),
        ("delete", "pods"),
    ]
    assert notes.counts == {(verb, resource, "2xx"): 1 for verb, resource in wanted}
    assert None not in notes.seconds


@pytest.mark.parametrize(
    ("error", "code"),
    [
        *((error_from(code, None, verb="get", resource="pods"), str(code)) for code in (400, 403, 409, 410, 429, 503)),
        (Unreachable("no route"), "none"),
    ],
)  # fmt: skip
async def test_refusals_are_counted_by_code_and_raised_as_they_are(
    error: KubeError, code: str
) -> None:
    """The code is the server's own; without an answer there is none."""
    api, below, notes = counted()
    below.faults.fail("*", "pods", error, times=2, delay=2.0)
    with pytest.raises(type(error)) as raised:
        await api.get(PODS, "ns", "p")
    with pytest.raises(type(error)):
        await anext(watching(api, PODS))

    assert raised.value is error
    assert notes.counts == {("get", "pods", code): 1, ("watch", "pods", code): 1}
    assert notes.seconds == [pytest.approx(2.0), None]


def watching(api: Counted, resource: Resource) -> Any:
    """Follow everything of a kind."""
    return api.watch(resource, "ns", resource_version="0", seconds=300)


async def test_a_watch_counts_once_and_can_be_closed() -> None:
    """However many events it brings; what it lasts is no latency."""
    api, below, notes = counted()
    for name in ("a", "b"):
        below.add(
            FLOWRUNS,
            {"apiVersion": FLOWRUNS.api_version, "kind": "FlowRun", "metadata": {"name": name}},
        )
    events = watching(api, FLOWRUNS)
    assert [(await anext(events)).object["metadata"]["name"] for _ in range(2)] == ["a", "b"]
    await events.aclose()

    assert notes.counts == {("watch", "flowruns.dask-flows.dev", "2xx"): 1}
    assert notes.seconds == [None]


async def test_a_call_that_is_cut_off_has_no_answer() -> None:
    """An agent that is told to stop does not count it as a success."""
    api, below, notes = counted()
    below.faults.fail("delete", "secrets", None, delay=60)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await api.delete(SECRETS, "ns", "s")

    assert notes.counts == {("delete", "secrets", "none"): 1}

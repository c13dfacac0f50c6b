"""Failpoints: which write is met when, and which text names one."""

import pytest

from dask_flows.agent.steps import STEPS, armed, step_of
from dask_flows.errors import UsageError
from dask_flows.kube import failpoints
from dask_flows.kube.errors import AlreadyExists
from dask_flows.kube.failpoints import AFTER, BEFORE, Failpoints, Point, exit_at
from dask_flows.kube.resources import CONFIG_MAPS, FLOWRUNS, JOBS, PODS, SECRETS
from dask_flows.kube.through import Call
from fakes.api import FakeApi

pytestmark = pytest.mark.looptime


class Exit(BaseException):
    """Stands for the end of the process."""


def body(name: str) -> dict[str, object]:
    """Return a small object."""
    return {"metadata": {"name": name}}


async def test_writes_are_met_before_and_after_and_reads_are_not() -> None:
    """A refused write has no after; a dry run is no write."""
    met: list[tuple[str, str, str]] = []
    api = Failpoints(FakeApi(), lambda write, moment: met.append((write.verb, write.name, moment)))
    await api.create(SECRETS, "ns", body("a"))
    with pytest.raises(AlreadyExists):
        await api.create(SECRETS, "ns", body("a"))
    await api.create(CONFIG_MAPS, "ns", body("b"), dry_run=True)
    await api.patch(SECRETS, "ns", "a", {"metadata": {"annotations": {"x": "y"}}})
    await api.get(SECRETS, "ns", "a")
    await api.list(SECRETS, "ns")
    await api.delete(SECRETS, "ns", "a")

    assert met == [
        ("create", "a", BEFORE),
        ("create", "a", AFTER),
        ("create", "a", BEFORE),
        ("patch", "a", BEFORE),
        ("patch", "a", AFTER),
        ("delete", "a", BEFORE),
        ("delete", "a", AFTER),
    ]


@pytest.mark.parametrize(
    ("text", "made"), [("secret:before", 0), ("secret:after:2", 2), ("job:before", 9)]
)
async def test_the_process_ends_at_the_nth_write_of_a_step(
    text: str, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, with 137; other steps do not count."""

    def leave(code: int) -> None:
        assert code == 137
        raise Exit

    monkeypatch.setattr(failpoints.os, "_exit", leave)
    inner = FakeApi()
    api = armed(inner, text)
    try:
        for number in range(9):
            await api.create(CONFIG_MAPS, "ns", body(f"other-{number}"))
            await api.create(SECRETS, "ns", body(f"s-{number}"))
        ended = False
    except Exit:
        ended = True

    assert ended == text.startswith("secret")
    assert len(inner.names(SECRETS)) == made


def test_without_a_failpoint_nothing_stands_between() -> None:
    """The API is the API itself."""
    api = FakeApi()

    assert armed(api, "") is api


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("claim:before", Point("claim", BEFORE, 1)),
        ("delete-cluster:after:3", Point("delete-cluster", AFTER, 3)),
    ],
)
def test_a_point_is_read(text: str, point: Point) -> None:
    """The n-th write is the first if it is not said."""
    assert Point.parse(text, STEPS) == point


@pytest.mark.parametrize("text", ["", "claim", "nothing:before", "claim:during", "claim:after:x"])
def test_what_is_no_point_is_refused(text: str) -> None:
    """With the steps there are."""
    with pytest.raises(UsageError, match=r"no failpoint.*--failpoint.*claim, "):
        Point.parse(text, STEPS)


@pytest.mark.parametrize(
    "write",
    [
        Call("patch", FLOWRUNS, "x", {"metadata": {}}),
        Call("patch", FLOWRUNS, "x", {"status": {"news": 1}}, "status"),
        Call("patch", JOBS, "x", {"spec": {"suspend": True}}),
        Call("delete", PODS, "somebody"),
        Call("create", PODS, "x", {"metadata": {"labels": {}}}),
        Call("delete", FLOWRUNS, "x"),
    ],
    ids=str,
)
def test_a_write_of_an_unknown_kind_has_no_name(write: Call) -> None:
    """So that the crash tests find it."""
    assert step_of(write) == ""


def test_a_meet_that_never_comes_does_nothing() -> None:
    """Only its own step and moment count."""
    meet = exit_at(Point("claim", AFTER), step_of)
    meet(Call("create", SECRETS, "x"), AFTER)
    meet(Call("patch", FLOWRUNS, "x", {"status": {"phase": "Starting"}}, "status"), BEFORE)

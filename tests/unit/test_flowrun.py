"""Rules of reading FlowRuns: what the agent relies on is checked, whatever schema the cluster has."""

from typing import Any

import pytest

from dask_flows.cli.arguments import parameters_of
from dask_flows.errors import UsageError
from dask_flows.flowrun import (
    DEEPEST_PARAMETERS,
    LARGEST_PARAMETERS,
    FlowRun,
    check_parameters,
    parameters_size,
)
from samples import flow_run, flow_run_data, inputs


def test_a_new_run_is_pending_and_has_no_attempt() -> None:
    """Before the agent has seen it there is no status."""
    run = flow_run()

    assert (run.phase, run.attempt, run.terminal) == ("Pending", 0, False)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"parameters": {}}, "exactly one of flow and command"),
    ({"flow": "a:b", "command": ["c"]}, "exactly one of flow and command"),
    ({"flow": 5}, "spec.flow"),
    ({"flow": "a:b", "workers": []}, "spec.workers"),
    ({"flow": "a:b", "workers": {"replicas": "2"}}, "spec.workers.replicas"),
    ({"flow": "a:b", "workers": {"replicas": 2, "minimum": 1}}, "spec.workers"),
    ({"flow": "a:b", "cancel": "yes"}, "spec.cancel"),
    ({"flow": "a:b", "deadlineSeconds": 1.5}, "spec.deadlineSeconds"),
    ({"flow": "a:b", "nonsense": 1}, "unknown field spec.nonsense"),
    ({"flow": "a:b", "workers": {"gpus": 1}}, "unknown field spec.workers.gpus"),
    ({"flow": "a:b", "scheduler": {"pod": {}}}, "unknown field spec.scheduler.pod"),
    ({"flow": "a:b", "parameters": [1]}, "spec.parameters"),
    ({"flow": "a:b", "env": {"A": "b"}}, "spec.env"),
]


@pytest.mark.parametrize(("spec", "complaint"), BAD, ids=[b[1] for b in BAD])
def test_each_mistake_is_named_with_its_field(spec: dict[str, Any], complaint: str) -> None:
    """The message goes into the run's status."""
    with pytest.raises(UsageError) as caught:
        FlowRun.parse(flow_run_data(**spec))

    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("workers", "bounds"),
    [
        ({}, (1, 2)),
        ({"replicas": 4}, (4, 4)),
        ({"replicas": 0}, (0, 0)),
        ({"minimum": 3}, (3, 3)),
        ({"maximum": 8}, (1, 8)),
        ({"maximum": 1}, (1, 1)),
        ({"minimum": 2, "maximum": 6}, (2, 6)),
        ({"minimum": 0, "maximum": 6}, (0, 6)),
    ],
)
def test_workers_fill_up_from_the_release(workers: dict[str, int], bounds: tuple[int, int]) -> None:
    """The release says 1 to 2; what a run says wins, and never crosses."""
    assert flow_run(workers=workers).spec.worker_bounds(1, 2) == bounds


def test_a_minimum_above_the_maximum_is_refused() -> None:
    """There is no such cluster."""
    with pytest.raises(UsageError, match="minimum 5 is more than maximum 2"):
        flow_run(workers={"minimum": 5, "maximum": 2}).spec.worker_bounds(1, 2)


ROOM = LARGEST_PARAMETERS - len('{"x": ""}')


def nested(kind: type[list[Any]] | type[dict[str, Any]], levels: int) -> dict[str, Any]:
    """Return parameters of so many levels, their own included."""
    inner: Any = 1
    for _ in range(levels - 1):
        inner = [inner] if kind is list else {"x": inner}
    return {"x": inner}


SIZES: list[tuple[str, dict[str, Any], int]] = [
    ("nothing", {}, 2),
    ("null", {"x": None}, 11),
    ("nulls inside", {"x": [None, {"y": None}]}, 26),
    ("letters", {"x": "y" * ROOM}, LARGEST_PARAMETERS),
    ("two bytes each", {"x": "ß" * 10}, 29),
    ("three bytes each", {"x": "語" * 10}, 39),
    ("four bytes each", {"x": "𝄞" * 10}, 49),
    ("what JSON escapes", {"x": '"\n'}, 13),
    ("half a character", {"x": "\ud800"}, 12),
]


@pytest.mark.parametrize(("parameters", "size"), [s[1:] for s in SIZES], ids=[s[0] for s in SIZES])
@pytest.mark.parametrize("mode", ["static", "ephemeral"])
def test_the_size_is_of_what_the_secret_holds(
    parameters: dict[str, Any], size: int, mode: str
) -> None:
    """In bytes of UTF-8; up to 64 KiB of them fit."""
    held = inputs(mode, flow_run(parameters=parameters))["parameters.json"]

    assert parameters_size(parameters, "here") == size == len(held.encode(errors="surrogatepass"))
    check_parameters(parameters)


@pytest.mark.parametrize(
    ("parameters", "kib"),
    [
        ({"x": "y" * (ROOM + 1)}, 65),
        ({"x": "y" * (ROOM - 1) + "ß"}, 65),
        ({"x": "y" * (71 * 1024 - 9)}, 71),
        ({"x": [1] * 500_000}, 1465),
    ],
)
def test_a_byte_too_many_is_refused(parameters: dict[str, Any], kib: int) -> None:
    """With what was found, where, and the way out."""
    with pytest.raises(UsageError) as caught:
        check_parameters(parameters)

    assert str(caught.value) == (
        f"parameters are {kib} KiB, at most 64 are possible (spec.parameters): "
        "put the data into storage and pass its address"
    )


@pytest.mark.parametrize("kind", [list, dict])
def test_levels_are_counted_without_going_down_them(
    kind: type[list[Any]] | type[dict[str, Any]],
) -> None:
    """500 can be written and read by any Python; more are refused, however many there are."""
    check_parameters(nested(kind, DEEPEST_PARAMETERS))
    for levels in (DEEPEST_PARAMETERS + 1, 10_000, 200_000):
        with pytest.raises(UsageError, match="nested more than 500 levels deep"):
            check_parameters(nested(kind, levels))


def test_the_command_line_refuses_what_the_agent_would() -> None:
    """The same byte is the one too many."""
    fits = parameters_of("a.b:c", None, ["x=" + "ß" * (ROOM // 2)], None)
    check_parameters(fits)

    assert parameters_size(fits, "here") == LARGEST_PARAMETERS - ROOM % 2
    for text in ("ß" * (ROOM // 2 + 1), "y" * (ROOM + 1)):
        with pytest.raises(UsageError, match="-p, --parameters"):
            parameters_of("a.b:c", None, ["x=" + text], None)
    with pytest.raises(UsageError, match="nested"):
        parameters_of("a.b:c", None, ["x=" + "[" * 600 + "]" * 600], None)

"""Rules of parameters: checked by name and type before anything runs, all faults in one message."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from distributed import Client

from dask_flows.errors import BadFlow, BadParameters
from dask_flows.flows.parameters import bind, fits


def plain(day, rows=10): ...
def typed(n: int = 1, rate: float = 0.5, name: str = "", on: bool = False): ...
def nested(days: list[int] = [], options: dict[str, int] | None = None): ...  # noqa: B006
def open_ended(day, **rest): ...
def keyword_only(*, day): ...
def variadic(*days): ...
def with_client(client: Client, n: int = 1): ...
def maybe_client(n: int = 1, client: Client | None = None): ...
def unresolved(x: "NoSuchType" = 1): ...  # type: ignore  # noqa: F821, PGH003
def positional(day, /): ...


BAD = [
    (plain, {}, ["day is missing"]),
    (plain, {"dya": 1}, ["no parameter dya, but day", "day is missing"]),
    (plain, {"day": 1, "x": 1, "y": 2}, ["no parameter x", "no parameter y"]),
    (plain, {"day": 1, "row": 1}, ["no parameter row, but rows"]),
    (keyword_only, {}, ["day is missing"]),
    (variadic, {"days": [1]}, ["no parameter days", "takes no parameters"]),
    (typed, {"n": "5"}, ["n is a str ('5'), not int"]),
    (typed, {"n": 1.5}, ["n is a float (1.5), not int"]),
    (typed, {"n": True}, ["n is a bool (True), not int"]),
    (typed, {"n": None}, ["n is a NoneType"]),
    (typed, {"rate": "fast"}, ["rate is a str ('fast'), not float"]),
    (typed, {"name": 5}, ["name is an int (5), not str"]),
    (typed, {"on": 1}, ["on is an int (1), not bool"]),
    (typed, {"n": "a", "name": 1, "z": 0}, ["n is a str", "name is an int", "no parameter z"]),
    (nested, {"days": {"a": 1}}, ["days is a dict"]),
    (nested, {"days": 3}, ["days is an int (3), not list[int]"]),
    (nested, {"options": [1]}, ["options is a list"]),
    (nested, {"options": "x" * 100}, ["…"]),
    (open_ended, {"x": 1}, ["day is missing"]),
    (with_client, {"client": "tcp://x:1"}, ["client is filled in by dask-flows"]),
    (with_client, {"m": 1}, ["no parameter m", "it takes n=1"]),
]

GOOD = [
    (plain, {"day": 1}, []),
    (plain, {"day": None, "rows": "many"}, []),
    (typed, {"n": 1, "rate": 2, "name": "x", "on": True}, []),
    (nested, {"days": [1], "options": None}, []),
    (open_ended, {"day": 1, "anything": 2}, []),
    (keyword_only, {"day": 1}, []),
    (variadic, {}, []),
    (unresolved, {"x": "whatever"}, []),
    (with_client, {"n": 2}, ["client"]),
    (maybe_client, {}, ["client"]),
]


@pytest.mark.parametrize(("function", "given", "says"), BAD)
def test_all_faults_are_in_one_message(
    function: Callable[..., Any], given: dict[str, Any], says: list[str]
) -> None:
    """With the flow's name and what it takes."""
    with pytest.raises(BadParameters) as caught:
        bind("flow.py:main", function, given)

    text = str(caught.value)
    assert all(part in text for part in says), text
    assert "flow.py:main" in text


@pytest.mark.parametrize(("function", "given", "clients"), GOOD)
def test_what_fits_is_passed_as_it_is(
    function: Callable[..., Any], given: dict[str, Any], clients: list[str]
) -> None:
    """A parameter annotated Client is the runner's to fill."""
    assert bind("flow.py:main", function, given) == (given, clients)


def test_a_signature_that_needs_positions_is_a_bad_flow() -> None:
    """Parameters have names only."""
    with pytest.raises(BadFlow, match="remove the /"):
        bind("flow.py:main", positional, {})


def test_a_builtin_without_signature_is_a_bad_flow() -> None:
    """Nothing can be checked against it."""
    with pytest.raises(BadFlow, match="signature"):
        bind("builtins:iter", iter, {})


def test_the_message_shows_the_flows_parameters() -> None:
    """With their defaults: the next try should succeed."""
    with pytest.raises(BadParameters, match=r"it takes day, rows=10"):
        bind("flow.py:main", plain, {})


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, int, True),
        (1, float, True),
        (1.0, int, False),
        (True, int, False),
        (True, bool, True),
        ([1, 2], tuple[int, ...], True),
        ("x", int | str, True),
        (None, int | None, True),
        (None, int, False),
        ({"a": 1}, dict[str, int], True),
        ("x", Literal["y"], True),
        ("x", Path, True),
        (5, Any, True),
    ],
)
def test_a_type_is_checked_where_json_can_tell(value: Any, hint: Any, expected: bool) -> None:
    """Other annotations are the flow's own affair."""
    assert fits(value, hint) is expected

"""Rules of parameters: all faults at once, by name, before the flow starts."""

from typing import Any

import pytest
from distributed import Client

from dask_flows.errors import BadParameters
from dask_flows.flows.parameters import bind, client_parameters


def plain(day: str, n: int = 1) -> None: ...
def anything(**more: Any) -> None: ...
def with_client(client: Client, n: float = 0.5) -> None: ...
def by_text(client: "distributed.Client") -> None: ...  # noqa: F821 - only the text counts
def flags(on: bool, rows: list, names: dict) -> None: ...
def untyped(x, y=2) -> None: ...
def positional(x, /) -> None: ...


GOOD = [
    (plain, {"day": "x"}),
    (plain, {"day": "x", "n": 2}),
    (anything, {"a": 1, "b": [2]}),
    (with_client, {}),
    (with_client, {"n": 1}),
    (by_text, {}),
    (flags, {"on": True, "rows": [], "names": {}}),
    (untyped, {"x": None}),
]


@pytest.mark.parametrize(("function", "given"), GOOD)
def test_what_fits_is_passed_on(function: Any, given: dict[str, Any]) -> None:
    """Defaults fill up; a client is given, not asked for."""
    assert bind(function, given) == given


BAD = [
    (plain, {}, "day: missing"),
    (plain, {"day": 5}, "day: 5 is not str"),
    (plain, {"day": "x", "n": "2"}, "n: '2' is not int"),
    (plain, {"day": "x", "n": True}, "n: True is not int"),
    (plain, {"day": "x", "n": 1.5}, "n: 1.5 is not int"),
    (plain, {"dya": "x"}, "dya: unknown, did you mean day?"),
    (plain, {"day": "x", "zzz": 1}, "zzz: unknown"),
    (with_client, {"n": "a"}, "n: 'a' is not float"),
    (flags, {"on": 1, "rows": [], "names": {}}, "on: 1 is not bool"),
    (flags, {"on": True, "rows": {}, "names": {}}, "rows: {} is not list"),
    (flags, {"on": True, "rows": [], "names": []}, "names: [] is not dict"),
    (untyped, {}, "x: missing"),
    (positional, {"x": 1}, "only by position"),
]


@pytest.mark.parametrize(("function", "given", "says"), BAD, ids=[b[2] for b in BAD])
def test_each_fault_is_named(function: Any, given: dict[str, Any], says: str) -> None:
    """With the parameter's name."""
    with pytest.raises(BadParameters) as caught:
        bind(function, given)

    assert says in str(caught.value)


def test_all_faults_are_in_one_message() -> None:
    """Nobody wants to correct them one by one."""
    with pytest.raises(BadParameters) as caught:
        bind(plain, {"n": "x", "speed": 1})

    for part in ("day: missing", "n: 'x' is not int", "speed: unknown"):
        assert part in str(caught.value)


def test_a_client_is_known_by_its_annotation() -> None:
    """By the class or by its name."""
    assert client_parameters(with_client) == ["client"]
    assert client_parameters(by_text) == ["client"]
    assert client_parameters(plain) == []

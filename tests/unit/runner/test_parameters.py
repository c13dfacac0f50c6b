"""Rules of parameters: checked by name and type before anything runs, all faults in one message."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from distributed import Client

from dask_flows.errors import BadFlow, BadParameters
from dask_flows.flows.parameters import bind


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
    (typed, {"n": "5"}, ['n is text ("5"), not int']),
    (typed, {"n": 1.5}, ["n is the number 1.5, not int"]),
    (typed, {"n": True}, ["n is true, not int"]),
    (typed, {"n": None}, ["n is null, not int"]),
    (typed, {"rate": "fast"}, ['rate is text ("fast"), not float']),
    (typed, {"name": 5}, ["name is the number 5, not str"]),
    (typed, {"on": 1}, ["on is the number 1, not bool"]),
    (typed, {"n": "a", "name": 1, "z": 0}, ["n is text", "name is the number 1", "no parameter z"]),
    (nested, {"days": {"a": 1}}, ["days is a mapping"]),
    (nested, {"days": 3}, ["days is the number 3, not list[int]"]),
    (nested, {"options": [1]}, ["options is a list ([1]), not dict[str, int] or null"]),
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


TEXTS = [
    ("zip: str", "01234", "01234", "01234"),
    ("zip: str", 123, "123", "123"),
    ("zip: str", True, "true", "true"),
    ("zip: str", 1.1, "1.10", "1.10"),
    ("zip: str", None, "null", "null"),
    ("zip: str", "5", '"5"', "5"),
    ("zip: str | None", None, "null", None),
    ("zip: str | None", 7, "7", "7"),
    ("zip: str | int", 7, "7", 7),
    ("zip: int", 7, "7", 7),
    ("zip", 7, "7", 7),
    ("zip: Decimal", 1.1, "1.10", Decimal("1.1")),
    ("zip: Path", 2026, "2026", Path("2026")),
    ("zip: Literal['1', '2']", 1, "1", "1"),
    ("**rest: str", 7, "7", "7"),
]


@pytest.mark.parametrize(("signature", "value", "text", "expected"), TEXTS)
def test_what_was_typed_counts_where_the_flow_wants_text(
    signature: str, value: Any, text: str, expected: Any
) -> None:
    """A postal code is no number; where the value itself fits it is taken."""
    names: dict[str, Any] = {"Decimal": Decimal, "Path": Path, "Literal": Literal}
    exec(f"def main({signature}): ...", names)

    arguments, _ = bind("flow.py:main", names["main"], {"zip": value}, {"zip": text})

    assert arguments == {"zip": expected}
    assert type(arguments["zip"]) is type(expected)


def test_without_what_was_typed_a_number_is_no_text() -> None:
    """A FlowRun in YAML may hold 668 where its author wrote 01234."""
    with pytest.raises(BadParameters, match="name is the number 668, not str"):
        bind("flow.py:main", typed, {"name": 668})


def test_extra_parameters_are_checked_against_their_annotation() -> None:
    """``**rest: int`` is an annotation as any other."""

    def main(**rest: int) -> None: ...

    assert bind("f:main", main, {"rest": 1, "a": 2})[0] == {"rest": 1, "a": 2}
    with pytest.raises(BadParameters, match="a is text"):
        bind("f:main", main, {"a": "x"})


UNRESOLVED = """
def main(client: "distributed.Client | None", n: int, x: "NoSuchType", y: [1, 2], z: print): ...
def other(n: int, who: "Client"): ...
"""


def test_one_strange_annotation_spoils_no_other() -> None:
    """Names that only a type checker sees (under TYPE_CHECKING), objects that are no types."""
    names: dict[str, Any] = {}
    exec(UNRESOLVED, names)
    given = {"n": 1, "x": 2, "y": 3, "z": 4}

    assert bind("f:main", names["main"], given) == (given, ["client"])
    assert bind("f:other", names["other"], {"n": 1}) == ({"n": 1}, ["who"])
    with pytest.raises(BadParameters, match="n is text"):
        bind("f:main", names["main"], given | {"n": "1"})


def refuses(text):
    raise ValueError(f"I do not like {text}")


@dataclass
class Database:
    host: str
    password: str

    def __post_init__(self) -> None:
        refuses(self.password)


def secret(
    *, token: int = 0, keys: list[int] | None = None, pin_secret: Literal["a", "b"] = "a",
    auth: dict[int, int] | None = None, db: Database | None = None, rows: int | str = 1,
    url: int = 0, passwd: str = "s3cr3tpw", to: str = "db://bob:s3cr3tpw@x",
): ...  # fmt: skip


@pytest.mark.parametrize(("given", "says"), [
    ({"token": "s3cr3tpw"}, "token is text, not int"),
    ({"token": "abc"}, "token is text, not int"),
    ({"keys": ["s3cr3tpw"]}, "keys[0] is text, not int"),
    ({"keys": "s3cr3tpw"}, "keys is text, not list[int] or null"),
    ({"token": 4815.1623}, "token is a number, not int"),
    ({"pin_secret": "s3cr3tpw"}, 'pin_secret is text, not one of "a", "b"'),
    ({"auth": {"1": "s3cr3tpw"}}, 'auth["1"] is text, not int'),
    ({"db": {"host": 1, "password": 48151623}}, "db.host is the number 1, not str; db.password is a number, not str"),
    ({"db": {"host": "x", "password": "s3cr3tpw"}}, "db is refused: ValueError: I do not like ***"),
    ({"rows": {"password": "s3cr3tpw"}}, 'rows is a mapping ({"password": "***"}), not int or str'),
    ({"url": "db://bob:s3cr3tpw@x"}, 'url is text ("db://***@x"), not int'),
    ({"other": 1}, "there is no parameter other"),
])  # fmt: skip
def test_secrets_are_not_quoted(given: dict[str, Any], says: str) -> None:
    """The log and the status of a FlowRun hold the message; what is wrong is said without the value."""
    with pytest.raises(BadParameters) as caught:
        bind("f:secret", secret, given)
    assert caught.value.found == says
    assert "s3cr3tpw" not in str(caught.value)
    assert "48151623" not in str(caught.value)
    assert "passwd=***, to='db://***@x'" in caught.value.do


def test_a_default_of_any_kind_can_be_shown() -> None:
    """Long ones short, broken ones not at all."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    def main(day, a=Broken(), b=list(range(100))): ...  # noqa: B006, B008

    with pytest.raises(BadParameters) as caught:
        bind("f:main", main, {})

    assert caught.value.do.startswith("it takes day, a=…, b=[0, 1, 2")
    assert len(caught.value.do) < 120

"""Rules of values: a JSON value becomes what the annotation says, or every fault is named with its path."""

import dataclasses
import enum
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    TypedDict,
    TypeVar,
    Union,
)
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from pydantic import dataclasses as pydantic_dataclasses

from dask_flows.errors import BadFlow, BadParameters
from dask_flows.flows.convert import convert
from dask_flows.flows.faults import Misfit
from dask_flows.flows.parameters import bind

T = TypeVar("T")
Day = NewType("Day", date)


class Level(enum.Enum):
    LOW = "low"
    HIGH = 2


@dataclasses.dataclass
class Row:
    name: str
    price: float = 1.0
    days: list[date] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(kw_only=True, frozen=True)
class Order:
    rows: list[Row]
    level: Level = Level.LOW
    scale: dataclasses.InitVar[int] = 1
    total: int = dataclasses.field(default=0, init=False)

    def __post_init__(self, scale: int) -> None:
        if scale < 0:
            raise ValueError("scale is negative")


@dataclasses.dataclass
class Node:
    type: str
    next: Optional["Node"] = None


@dataclasses.dataclass
class Box(Generic[T]):
    inside: T


class Point(NamedTuple):
    x: int
    y: int = 0


class Options(TypedDict):
    n: int
    note: NotRequired[str]


class Model(BaseModel):
    n: int = Field(gt=0)
    rows: list[Row] = []


@pydantic_dataclasses.dataclass
class Checked:
    n: int = Field(gt=0)


GOOD: list[tuple[Any, Any, Any]] = [
    (1, int, 1),
    (1, float, 1.0),
    (True, bool, True),
    ("x", str, "x"),
    (None, None, None),
    (None, int | None, None),
    (5, Optional[int], 5),  # noqa: UP045 - people still write it
    (5, Union[str, int], 5),  # noqa: UP007 - the same
    (5, int | float, 5),
    (5, float | str, 5.0),
    ("2026-01-31", str | date, "2026-01-31"),
    ("2026-01-31", date | int, date(2026, 1, 31)),
    ([1], list[int] | dict[str, int], [1]),
    ({"a": 1}, list[int] | dict[str, int], {"a": 1}),
    ("x", Any, "x"),
    ("x", object, "x"),
    ("x", Literal["x", "y"], "x"),
    (1, Literal[1], 1),
    ("low", Literal[Level.LOW], Level.LOW),
    ("LOW", Literal[Level.LOW], Level.LOW),
    ("low", Level, Level.LOW),
    ("HIGH", Level, Level.HIGH),
    (2, Level, Level.HIGH),
    ("a/b", Path, Path("a/b")),
    ("a/b", PurePosixPath, PurePosixPath("a/b")),
    ("2026-01-31", date, date(2026, 1, 31)),
    ("2026-01-31", Day, date(2026, 1, 31)),
    ("2026-01-31", datetime, datetime(2026, 1, 31)),  # noqa: DTZ001 - the text names no zone
    ("2026-01-31T12:00:00Z", datetime, datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ("12:30", time, time(12, 30)),
    ("1.10", Decimal, Decimal("1.10")),
    (1.1, Decimal, Decimal("1.1")),
    (5, Decimal, Decimal(5)),
    ("12345678123456781234567812345678", UUID, UUID("12345678123456781234567812345678")),
    ([1, 2], list[int], [1, 2]),
    ([1, "a"], list, [1, "a"]),
    (["2026-01-31"], Sequence[date], [date(2026, 1, 31)]),
    ([1], Iterable[int], [1]),
    ([1, 1], set[int], {1}),
    ([1], frozenset[int], frozenset({1})),
    ([1, "a"], tuple[int, str], (1, "a")),
    ([1, 2, 3], tuple[int, ...], (1, 2, 3)),
    ([1], tuple, (1,)),
    ([], tuple[()], ()),
    ({"a": 1}, dict[str, float], {"a": 1.0}),
    ({"1": "a"}, dict[int, str], {1: "a"}),
    ({"2026-01-31": 1}, Mapping[date, int], {date(2026, 1, 31): 1}),
    ({"a": 1}, dict, {"a": 1}),
    (5, Annotated[int, "days"], 5),
    (["a"], list[Annotated[Path, "x"]], [Path("a")]),
    ({"n": 1}, Options, {"n": 1}),
    ({"n": 1, "note": "x"}, Options, {"n": 1, "note": "x"}),
    ({"name": "a", "price": 2}, Row, Row("a", 2.0)),
    ({"name": "a", "days": ["2026-01-31"]}, Row, Row("a", 1.0, [date(2026, 1, 31)])),
    ({"rows": [{"name": "a"}], "level": "HIGH"}, Order, Order(rows=[Row("a")], level=Level.HIGH)),
    ({"rows": [], "scale": 3}, Order, Order(rows=[])),
    ({"type": "a", "next": {"type": "b"}}, Node, Node("a", Node("b"))),
    ({"inside": 1}, Box[int], Box(1)),
    ({"x": 1}, Point, Point(1, 0)),
    ([1, 2], Point, Point(1, 2)),
    (None, Row | None, None),
    ({"n": 1, "rows": [{"name": "a"}]}, Model, Model(n=1, rows=[Row("a")])),
    ({"n": 1}, Checked, Checked(n=1)),
    # What is not known here is the flow's own affair.
    ("x", "NoSuchType", "x"),
    ("x", T, "x"),
    ("x", Callable[[int], str], "x"),
    ("x", type[int], "x"),
    ("x", BadFlow | None, "x"),
    ("x", bytes, "x"),
    # What Python gives, and not JSON, stays as it is.
    (date(2026, 1, 31), date, date(2026, 1, 31)),
    (Row("a"), Row, Row("a")),
    ({1, 2}, set[int], {1, 2}),
    ([date(2026, 1, 31)], list[date], [date(2026, 1, 31)]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "hint", "expected"), GOOD)
def test_a_value_becomes_what_the_annotation_says(value: Any, hint: Any, expected: Any) -> None:
    """Of the type, too: 1 for a float is 1.0."""
    made = convert(value, hint, "x")

    assert made == expected
    assert type(made) is type(expected)


BAD: list[tuple[Any, Any, str]] = [
    ("5", int, 'x is text ("5"), not int'),
    (1.0, int, "x is the number 1.0, not int"),
    (True, int, "x is true, not int"),
    (True, float, "x is true, not float"),
    (10**400, float, "x is too large for float"),
    (1, bool, "x is the number 1, not bool"),
    (None, str, "x is null, not str"),
    (5, str, "x is the number 5, not str"),
    (5, None, "x is the number 5, not null"),
    ("x", int | None, 'x is text ("x"), not int or null'),
    ({}, int | str, "x is a mapping ({}), not int or str"),
    ("z", Literal["x", "y"], 'x is text ("z"), not one of "x", "y"'),
    (True, Literal[1], "x is true, not one of 1"),
    ("z", Level, 'x is text ("z"), not one of LOW, HIGH'),
    (5, Path, "x is the number 5, not a path"),
    ("31.1.2026", date, 'x is text ("31.1.2026"), not date like 2026-01-31'),
    ("2026-01-31T12:00", date, "not date like 2026-01-31"),
    (20260131, date, "x is the number 20260131, not date"),
    ("now", datetime, "not datetime like 2026-01-31T12:00:00"),
    ("x", time, "not time like"),
    ("x", Decimal, "not Decimal"),
    ("NaN", Decimal, "not Decimal"),
    (True, Decimal, "x is true, not Decimal"),
    ("x", UUID, "not UUID"),
    ("x", list[int], 'x is text ("x"), not list[int]'),
    ([1, "a", "b"], list[int], 'x[1] is text ("a"), not int; x[2] is text ("b"), not int'),
    ([[1]], set[list[int]], "which a set cannot"),
    ([1], tuple[int, str], "x has 1 values, not the 2 of tuple[int, str]"),
    ([1], tuple[()], "x has 1 values, not the 0"),
    ([1, 2], tuple[int, str], "x[1] is the number 2, not str"),
    ([], dict[str, int], "x is a list ([]), not dict[str, int]"),
    ({"a": "b"}, dict[str, int], 'x["a"] is text ("b"), not int'),
    ({"a": 1}, dict[int, int], 'key "a" of x is text ("a"), not int'),
    ("x", Row, 'x is text ("x"), not a mapping for Row'),
    ({}, Row, "x.name is missing"),
    ({"nam": "a"}, Row, "there is no x.nam, but name; x.name is missing"),
    ({"name": 1, "price": "x"}, Row, 'x.name is the number 1, not str; x.price is text ("x")'),
    ({"rows": [{"name": "a"}, {"name": "b", "price": "x"}]}, Order, 'x.rows[1].price is text ("x"), not float'),
    ({"rows": [], "scale": -1}, Order, "x is refused: ValueError: scale is negative"),
    ({"rows": [], "total": 1}, Order, "there is no x.total"),
    ({"rows": [{"nam": 1}]}, Order | None, "there is no x.rows[0].nam"),
    ({"type": "a", "next": {"type": 1}}, Node, "x.next.type is the number 1, not str"),
    ([1, 2, 3], Point, "x has 3 values, Point 2"),
    ([], Point, "x.x is missing"),
    ({}, Options, "x.n is missing"),
    ({"n": 1, "notes": "a"}, Options, "there is no x.notes, but note"),
    ({"n": "a", "rows": [{"name": 1}]}, Model, "x.n: Input should be a valid integer"),
    ({"n": 1, "rows": [{"name": 1}]}, Model, "x.rows[0].name: Input should be a valid string"),
    ({"n": 0}, Checked, "x.n: Input should be greater than 0"),
    (5, Model, "x is the number 5, not a mapping for Model"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "hint", "says"), BAD)
def test_every_fault_is_named_with_its_path(value: Any, hint: Any, says: str) -> None:
    """All of them, so that the next try succeeds."""
    with pytest.raises(Misfit) as caught:
        convert(value, hint, "x")

    assert says in "; ".join(caught.value.faults)


def main(  # noqa: PLR0917
    a: int,
    b: float | None = None,
    c: Row | None = None,
    d: dict[int, list[date]] | None = None,
    e: tuple[int, str] = (1, ""),
    f: Level | Literal["x"] = Level.LOW,
    g: set[Decimal] | Path = Path(),
    h: Model | None = None,
    i: Point | Options | None = None,
    j: Order | str = "",
) -> None: ...


def open_ended(a: Node | Box[int], **rest: list[Row] | UUID) -> None: ...
def bare(a, b=1): ...
def strange(a: [1], b: "No.Such" = 1, c: {} = 2, d: len = 3): ...  # type: ignore  # noqa: F821, PGH003
def positional(a: int, /): ...


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.sampled_from(["2026-01-31", "low", "1.5", "x"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["a", "n", "x", "name", "rows", "type", "next", "1"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
NAMES = st.sampled_from(list(string.ascii_lowercase[:11]))
QUICK = settings(derandomize=True, max_examples=150, deadline=None, database=None)


@QUICK
@given(
    function=st.sampled_from([main, open_ended, bare, strange, positional]),
    parameters=st.dictionaries(NAMES | st.text(max_size=4), JSON, max_size=5),
    texts=st.dictionaries(NAMES, st.text(max_size=6), max_size=3),
)
def test_any_json_is_taken_or_refused_in_our_words(
    function: Callable[..., Any], parameters: dict[str, Any], texts: dict[str, str]
) -> None:
    """Nothing else is raised, and what is taken can be passed."""
    refused: BadParameters | BadFlow | None = None
    arguments: dict[str, Any] = {}
    try:
        arguments, _ = bind("flow.py:main", function, parameters, texts)
    except (BadParameters, BadFlow) as error:
        refused = error

    if refused is None:
        function(**arguments)
    else:
        assert all((refused.found, refused.where == "flow.py:main", refused.do))


@QUICK
@given(value=JSON, hint=st.sampled_from([h for _, h, _ in GOOD]))
def test_a_conversion_raises_nothing_but_misfits(value: Any, hint: Any) -> None:
    """Without the net that ``bind`` has below it."""
    faults: tuple[str, ...] = ("none",)
    try:
        convert(value, hint, "x")
    except Misfit as wrong:
        faults = wrong.faults

    assert faults
    assert all(fault.strip() for fault in faults)


def test_deep_nesting_is_refused() -> None:
    """Not a RecursionError."""
    value: Any = {"type": "a"}
    for _ in range(3000):
        value = {"type": "a", "next": value}

    def deep(x: Node) -> None: ...

    with pytest.raises(BadParameters, match="x is nested too deeply"):
        bind("f:deep", deep, {"x": value})

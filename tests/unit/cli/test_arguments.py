"""Rules of what people type: typed values, or one message that names the argument."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_flows.cli import arguments
from dask_flows.errors import UsageError


@pytest.mark.parametrize(
    ("pairs", "values"),
    [
        (["n=1"], {"n": 1}),
        (["day=2026-01-01"], {"day": "2026-01-01"}),
        (["q=a=b"], {"q": "a=b"}),
        (["flag=true", "none=null"], {"flag": True, "none": None}),
        (['rows=[1, {"a": 2}]'], {"rows": [1, {"a": 2}]}),
        (['text="5"'], {"text": "5"}),
        (["empty="], {"empty": ""}),
        (["n=1", "n=2"], {"n": 2}),
    ],
)
def test_a_parameter_is_json_else_text(pairs: list[str], values: dict[str, Any]) -> None:
    """Numbers are numbers; what is no JSON is text; the last one wins."""
    assert arguments.parameters(pairs, None) == values


def test_pairs_win_over_the_file(tmp_path: Path) -> None:
    """The command line is nearer than the file."""
    file = tmp_path / "p.yaml"
    file.write_text("a: 1\nb: [x]\n")

    assert arguments.parameters(["a=2"], file) == {"a": 2, "b": ["x"]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
        ("01234", "01234"),
        ("0x1F", "0x1F"),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        (" 1 ", 1),
        ("1e3", 1000.0),
    ],
)
def test_what_is_no_strict_json_is_text(text: str, value: Any) -> None:
    """Nothing that a FlowRun could not hold, nothing that says two things."""
    assert arguments.parameters([f"x={text}"], None) == {"x": value}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
NAMES = st.text(min_size=1).filter(lambda name: "=" not in name)
QUICK = settings(derandomize=True, max_examples=150, deadline=None, database=None)


@QUICK
@given(values=st.dictionaries(NAMES, JSON, max_size=4), ascii_only=st.booleans())
def test_json_round_trips(values: dict[str, Any], ascii_only: bool) -> None:
    """What was written as JSON is what the flow gets."""
    pairs = [f"{name}={json.dumps(v, ensure_ascii=ascii_only)}" for name, v in values.items()]

    assert arguments.parameters(pairs, None) == values


@QUICK
@given(name=NAMES, text=st.text())
def test_any_text_survives(name: str, text: str) -> None:
    """As JSON if it is JSON, else as it is; and what was typed is not lost."""
    value = arguments.parameters([f"{name}={text}"], None)[name]

    assert value == text or json.loads(text) == value
    assert arguments.texts([f"{name}={text}"]) == {name: text}


@QUICK
@given(values=st.dictionaries(NAMES, JSON, max_size=4))
def test_a_file_of_json_round_trips(values: dict[str, Any]) -> None:
    """Named as it likes: JSON is YAML, mostly."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("p.json", "p.yaml"):
            file = Path(folder) / name
            file.write_text(json.dumps(values, indent=1), encoding="utf-8")
            assert arguments.parameters([], file) == values


YAML = [
    ("country: no", {"country": "no"}),
    ("on: yes", {"on": "yes"}),
    ("day: 2026-01-31", {"day": "2026-01-31"}),
    ("at: 12:30:00", {"at": "12:30:00"}),
    ("zip: 01234", {"zip": "01234"}),
    ("a: 0x1F\nb: 1_000\nc: .inf", {"a": "0x1F", "b": "1_000", "c": ".inf"}),
    ("a: 1\nb: -2\nc: 1.5\nd: 1e3", {"a": 1, "b": -2, "c": 1.5, "d": 1000.0}),
    ("a: true\nb: False\nc: null\nd: ~\ne:", {"a": True, "b": False, "c": None, "d": None, "e": None}),
    ("a: 'true'\nb: \"5\"", {"a": "true", "b": "5"}),
    ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
    ("a: {1: x, true: y, no: z}", {"a": {"1": "x", "true": "y", "no": "z"}}),
    ("2026: x", {"2026": "x"}),
    ("base: &b {n: 1}\nmore: {<<: *b, m: 2}", {"base": {"n": 1}, "more": {"n": 1, "m": 2}}),
    ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
    ("\ufeffa: 1", {"a": 1}),
    ("{a: 1}", {"a": 1}),
    ('{"a":\t1}', {"a": 1}),
    ('{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
    ("a: grün", {"a": "grün"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "values"), YAML)
def test_a_file_means_what_it_looks_like(tmp_path: Path, text: str, values: dict[str, Any]) -> None:
    """A plain value is what ``-p`` would make of it: no truth in ``no``, no day, no octal number."""
    file = tmp_path / "p.yaml"
    file.write_bytes(text.encode())

    assert arguments.parameters([], file) == values


SIGNATURES = """
from __future__ import annotations
from typing import Optional
def main(zip: str, n: int, maybe: str | None = None, other: Optional[str] = None, *, late: "str" = ""): ...
async def awaited(zip: str): ...
"""


def test_submit_keeps_text_where_the_file_says_str(tmp_path: Path) -> None:
    """It reads the file and does not run it; of other flows it knows nothing."""
    file = tmp_path / "flow.py"
    file.write_text(SIGNATURES + "1 / 0\n")
    pairs = ["zip=123", "n=5", "maybe=true", "other=1.10", "late=null"]

    assert arguments.parameters_of(f"{file}:main", None, pairs, None) == {
        "zip": "123", "n": 5, "maybe": "true", "other": "1.10", "late": None,
    }  # fmt: skip
    assert arguments.parameters_of(f"{file}:awaited", None, ["zip=1"], None) == {"zip": "1"}
    assert arguments.parameters_of(f"{file}:none", None, ["zip=1"], None) == {"zip": 1}
    assert arguments.parameters_of("pkg.mod:main", None, ["zip=1"], None) == {"zip": 1}


@pytest.mark.parametrize("pair", ["n", "=1", ""])
def test_a_pair_without_name_or_sign_is_refused(pair: str) -> None:
    """The message shows how to write it."""
    with pytest.raises(UsageError, match="-p name=value"):
        arguments.parameters([pair], None)


@pytest.mark.parametrize("text", ["- 1\n", "5", "a: [", "{"])
def test_a_parameter_file_that_is_no_mapping_is_refused_by_name(tmp_path: Path, text: str) -> None:
    """A person can find the file."""
    file = tmp_path / "p.json"
    file.write_text(text)

    with pytest.raises(UsageError, match=r"p\.json"):
        arguments.parameters([], file)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (None, None),
        ("4", {"replicas": 4}),
        ("1:8", {"minimum": 1, "maximum": 8}),
        ("0", {"replicas": 0}),
    ],
)
def test_workers_are_a_number_or_a_range(text: str | None, fields: Any) -> None:
    """4 is fixed, 1:8 is adaptive."""
    assert arguments.worker_fields(text) == fields


@pytest.mark.parametrize("text", ["", "many", "1:", ":2", "1:2:3", "-1", "1.5"])
def test_other_numbers_of_workers_are_refused(text: str) -> None:
    """The message shows both forms."""
    with pytest.raises(UsageError, match="4 or 1:8"):
        arguments.worker_fields(text)


@pytest.mark.parametrize(
    ("flow", "rest", "result"),
    [
        ("flow.py:main", [], ("flow.py:main", None)),
        ("pkg.mod:f", [], ("pkg.mod:f", None)),
        ("python", ["script.py"], (None, ["python", "script.py"])),
        (None, ["python", "-m", "x"], (None, ["python", "-m", "x"])),
        ("./job", [], (None, ["./job"])),
    ],
)
def test_a_flow_has_a_colon_and_stands_alone(
    flow: str | None, rest: list[str], result: Any
) -> None:
    """Everything else is a command."""
    assert arguments.flow_or_command(flow, rest) == result


@pytest.mark.parametrize(("flow", "rest"), [(None, []), ("flow.py:main", ["n=1"])])
def test_nothing_or_words_after_a_flow_are_refused(flow: str | None, rest: list[str]) -> None:
    """The message says what to write."""
    with pytest.raises(UsageError):
        arguments.flow_or_command(flow, rest)

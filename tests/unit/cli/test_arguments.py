"""Rules of what people type: typed values, or one message that names the argument."""

from pathlib import Path
from typing import Any

import pytest

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

"""Rules of the table of faults: each row is tested or left out with a reason, and tests and table agree."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TABLE: dict[int, dict[str, Any]] = yaml.safe_load((ROOT / "tests" / "faults.yaml").read_text())
AGAIN = "run python tools/faults.py"


def rows_in_tests() -> dict[int, list[str]]:
    """Return the rows that docstrings of tests name."""
    spec = importlib.util.spec_from_file_location("faults", ROOT / "tools" / "faults.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[int, list[str]] = module.rows_in_tests()
    return found


def test_there_are_forty_rows() -> None:
    """None is forgotten, none is made up."""
    assert list(TABLE) == list(range(1, 41))
    assert all(entry["fault"] for entry in TABLE.values())


@pytest.mark.parametrize("row", TABLE)
def test_a_row_is_tested_or_left_out_with_a_reason(row: int) -> None:
    """Exactly one of both; what only a part of a row lacks is said beside its tests."""
    entry = TABLE[row]

    assert set(entry) <= {"fault", "tests", "left_out", "partly"}
    assert bool(entry.get("tests")) is not bool(entry.get("left_out"))
    assert "partly" not in entry or entry.get("tests")


def test_the_table_lists_exactly_the_tests_that_name_a_row() -> None:
    """A test that is renamed, removed or new is seen here."""
    listed = {row: entry["tests"] for row, entry in TABLE.items() if "tests" in entry}

    assert listed == rows_in_tests(), AGAIN

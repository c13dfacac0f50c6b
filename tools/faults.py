"""Write into tests/faults.yaml which tests cover which row; the rows come from the tests' docstrings.

    python tools/faults.py

A test covers a row if its docstring begins with ``Row 7: ``; further rows may follow in the same form. What
is left out, and why, is written by hand and stays.
"""

import ast
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "tests" / "faults.yaml"
ROW = re.compile(r"\bRow (\d+): ")
HEAD = """\
# Every fault this project has thought of, and the tests that cause it. Row numbers stand in the tests' docstrings.
# `python tools/faults.py` fills in `tests`; `left_out` and `partly` say by hand what no test does, and why.
"""


def rows_in_tests(folder: Path = ROOT / "tests") -> dict[int, list[str]]:
    """Return the tests of each row as ``path::name``, sorted."""
    found: dict[int, list[str]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                told = ast.get_docstring(node) or ""
                if node.name.startswith("test_") and told.startswith("Row "):
                    for row in {int(number) for number in ROW.findall(told)}:
                        name = f"{path.relative_to(folder)}::{node.name}"
                        found.setdefault(row, []).append(name)
    return {row: sorted(tests) for row, tests in sorted(found.items())}


def filled(table: dict[int, dict[str, object]]) -> dict[int, dict[str, object]]:
    """Return the table with the tests of each row as they are now."""
    tests, new = rows_in_tests(), {}
    for row, entry in sorted(table.items()):
        kept = {key: value for key, value in entry.items() if key != "tests"}
        new[row] = {**kept, "tests": tests[row]} if row in tests else kept
    return new


class _Indented(yaml.SafeDumper):
    """Writes lists as people do: further in than what holds them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's signature
        """Go one level in."""
        super().increase_indent(flow, indentless=False)


def main() -> int:
    """Rewrite the table; returns 0."""
    table = filled(yaml.safe_load(TABLE.read_text()))
    text = yaml.dump(table, Dumper=_Indented, sort_keys=False, allow_unicode=True, width=120)
    TABLE.write_text(HEAD + text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

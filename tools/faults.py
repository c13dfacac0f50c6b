"""Write into tests/faults.yaml which tests cover which row on which tier, and say what is wrong with the table.

    python tools/faults.py

A test covers a row if its docstring begins with ``Row 7: ``; further rows may follow in the same form. Its tier
follows from where it is and what it uses. What a tier does not show, and why, is written by hand and stays.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
TABLE = TESTS / "faults.yaml"
ROW = re.compile(r"\bRow (\d+): ")
TIERS = ("unit", "kwok", "pods", "nodes")
KEYS = ("fault", "tiers", "partly", "left_out", "tests")
# Who sets up the world of a test on a cluster; nobody gets there without one of them.
SETTINGS = {"kwok.site.site": "kwok", "release.Release": "pods"}
AGAIN = "run python tools/faults.py"
HEAD = """\
# Every fault this project has thought of, and the tests that cause it. Row numbers stand in the tests' docstrings.
#
# `tiers` says where a fault has to be tried:
#   unit   in memory or against a fake server, in the test's own process
#   kwok   the agent as a process, a real API server with etcd and controllers; nodes are fake, runners are played
#   pods   the same with a real kubelet: the installed chart, real pods, real Dask
#   nodes  real pods, and a second kubelet that can be cut off
# A tier with a test is in `tests`, filled in by `python tools/faults.py`: tests/unit is unit; a test of tests/cluster is
# kwok if it sets up a site (kwok.site), and pods if it installs a Release. The others are in `left_out` with the reason.
# `partly` says what the tests of a tier do not show. Both are written by hand; tests/unit/test_faults.py checks all of it.
"""

Row = dict[str, Any]
Found = dict[int, dict[str, list[str]]]
Functions = dict[str, ast.stmt]


def rows_in_tests(folder: Path = TESTS) -> Found:
    """Return the tests of each row by tier, as ``path::name``, sorted."""
    found: Found = {}
    for path in sorted(folder.rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            rows = _rows(node)
            if rows and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(folder)}::{node.name}"
                tier = _tier(name, path, tree, node)
                for row in rows:
                    found.setdefault(row, {}).setdefault(tier, []).append(name)
    return {row: _in_order(tests) for row, tests in sorted(found.items())}


def _rows(node: ast.AST) -> set[int]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
        told = ast.get_docstring(node) or ""
        return {int(row) for row in ROW.findall(told)} if told.startswith("Row ") else set()
    return set()


def _in_order(tests: dict[str, list[str]]) -> dict[str, list[str]]:
    return {tier: sorted(tests[tier]) for tier in TIERS if tier in tests}


def _tier(name: str, path: Path, tree: ast.Module, test: ast.stmt) -> str:
    """Return where a test runs. Raises ValueError if nobody can tell, or if it has two settings."""
    kind = name.partition("/")[0]
    if kind == "unit":
        return kind
    used = _used(path, tree, test) if kind == "cluster" else set()
    tiers = {tier for setting, tier in SETTINGS.items() if setting in used}
    if len(tiers) != 1:
        wanted = " or ".join(SETTINGS)
        raise ValueError(f"{name}: uses {sorted(tiers) or 'nothing'} of {wanted}: use exactly one")
    return tiers.pop()


def _used(path: Path, tree: ast.Module, test: ast.stmt) -> set[str]:
    """Return what a test imports from elsewhere, itself and through the functions and fixtures it uses."""
    conftest = path.parent / "conftest.py"
    around = ast.parse(conftest.read_text()) if conftest.exists() else ast.Module([], [])
    imports = _imports(around) | _imports(tree)
    functions = _functions(around) | _functions(tree)
    used: set[str] = set()
    todo = [test]
    while todo:
        for name in _names(todo.pop()) - used:
            used.add(name)
            todo += [functions[name]] if name in functions else []
    return {imports[name] for name in used if name in imports}


def _imports(tree: ast.Module) -> dict[str, str]:
    """Return what each imported name stands for."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _functions(tree: ast.Module) -> Functions:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name: node for node in tree.body if isinstance(node, kinds)}


def _names(node: ast.stmt) -> set[str]:
    """Return the names that a function mentions; its arguments are the names of fixtures."""
    inside = list(ast.walk(node))
    return {part.id for part in inside if isinstance(part, ast.Name)} | {
        part.arg for part in inside if isinstance(part, ast.arg)
    }


def filled(table: dict[int, Row], found: Found) -> dict[int, Row]:
    """Return the table with the tests of each row as they are now."""
    new = {}
    for row, entry in sorted(table.items()):
        now = {**entry, "tests": found.get(row)}
        others = [key for key in entry if key not in KEYS]
        new[row] = {key: now[key] for key in (*KEYS, *others) if now.get(key)}
    return new


def wrong(table: dict[int, Row], found: Found) -> list[str]:
    """Return a line for everything that is not as it should be: rows, lists of tests, tiers without a word."""
    lines = [f"row {row}: a test names it, and it is not there" for row in found.keys() - table]
    for row, entry in table.items():
        said = list(_shape(entry)) or [
            *_differences(entry.get("tests") or {}, found.get(row, {})),
            *_gaps(entry),
        ]
        lines += [f"row {row}: {line}" for line in said]
    return lines


def _differences(listed: dict[str, list[str]], found: dict[str, list[str]]) -> Iterator[str]:
    there, here = set(_pairs(listed)), set(_pairs(found))
    for tier, test in sorted(here - there):
        yield f"{test} names it and is not in the list of {tier}: {AGAIN}"
    for tier, test in sorted(there - here):
        yield f"{test} is in the list of {tier} and does not name it there: {AGAIN}"


def _pairs(tests: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    return ((tier, test) for tier, names in tests.items() for test in names)


def _shape(entry: Row) -> Iterator[str]:
    """Yield what is unknown, empty or of another kind."""
    yield from _unknown("key", entry, KEYS)
    for key in ("fault", "tiers"):
        if not entry.get(key):
            yield f"{key} is missing"
    yield from _unknown("tier in tiers", entry.get("tiers") or (), TIERS)
    for key in ("partly", "left_out", "tests"):
        parts = entry.get(key, {})
        if not isinstance(parts, dict):
            yield f"{key} says nothing by tier"
            continue
        yield from _unknown(f"tier in {key}", parts, TIERS)
        for tier, said in parts.items():
            if not said or not isinstance(said, list if key == "tests" else str):
                yield f"{key} says nothing of {tier}"


def _unknown(what: str, names: Iterable[str], known: tuple[str, ...]) -> Iterator[str]:
    return (f"unknown {what}: {name}" for name in names if name not in known)


def _gaps(entry: Row) -> Iterator[str]:
    """Yield tiers without test and reason, and reasons that have become wrong."""
    wanted, tests, left_out = (
        entry.get("tiers") or (),
        entry.get("tests") or {},
        entry.get("left_out") or {},
    )
    for tier in wanted:
        if tier not in tests and tier not in left_out:
            yield f"{tier} has no test, and left_out has no reason"
    for tier in left_out:
        if tier in tests:
            yield f"{tier} is left out and has tests: say in partly what they do not show"
        if tier not in wanted:
            yield f"{tier} is left out, and nobody wants it"
    for tier in entry.get("partly") or {}:
        if tier not in tests:
            yield f"{tier} is partly there and has no test: say in left_out why"


class _Dumper(yaml.SafeDumper):
    """Writes lists as people do: further in than what holds them, and tuples in one line."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's signature
        """Go one level in."""
        super().increase_indent(flow, indentless=False)

    def in_one_line(self, value: tuple[str, ...]) -> yaml.Node:
        """Write a tuple as ``[a, b]``."""
        return self.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)


_Dumper.add_representer(tuple, _Dumper.in_one_line)


def text_of(table: dict[int, Row]) -> str:
    """Return the file's text."""
    rows = {
        row: {**entry, "tiers": tuple(entry.get("tiers") or ())} for row, entry in table.items()
    }
    return HEAD + yaml.dump(rows, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def main() -> int:
    """Rewrite the table and print what only a person can put right; returns 1 if there is something."""
    found = rows_in_tests()
    table = filled(yaml.safe_load(TABLE.read_text()), found)
    TABLE.write_text(text_of(table))
    lines = wrong(table, found)
    print("\n".join(lines), end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())

"""Check that values.schema.yaml, values.yaml and the templates speak of the same values.

Each value has prose and a default; each default is described; each value is read by a template; each
value that a template reads is described. That it also changes something is a test of the chart.
"""

import re
import sys
from collections.abc import Iterator
from typing import Any

from chart_values import CHART, NOTHING, Schema, defaults, leaves, lookup, source, walk

_READ = re.compile(r"\.Values\.([A-Za-z][\w.]*)")
# Read by parent charts, not by ours.
_FOR_PARENTS = {"enabled"}


def main() -> int:
    """Print what does not fit; returns the exit code."""
    problems = sorted(problems_of(source(), defaults(), templates()))
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return 1 if problems else 0


def templates() -> str:
    """Return the text of all templates."""
    files = sorted((CHART / "templates").rglob("*"))
    return "\n".join(file.read_text() for file in files if file.is_file())


def problems_of(schema: Schema, values: dict[str, Any], text: str) -> Iterator[str]:
    """Yield one line for each value that is missing somewhere."""
    known = dict(walk(schema))
    for path, node in known.items():
        if not node.get("description", "").strip():
            yield f"{path} has no description (values.schema.yaml): say what it does"
    for path in leaves(schema).keys() - _FOR_PARENTS:
        if lookup(values, path) is NOTHING and not path.startswith("global."):
            yield f"{path} has no default (values.yaml): add it"
        key = path.rpartition(".")[2]
        if not re.search(rf'\.{key}\b|"{key}"', text):
            yield f"{path} is read by no template: use it, or remove it"
    for path in _default_paths(values, known):
        if path not in known:
            yield f"{path} is not described (values.schema.yaml): add it"
    for path in _READ.findall(text):
        if path not in known and not _inside_open_value(path, known):
            yield f".Values.{path} is read by a template and not described (values.schema.yaml)"


def _default_paths(values: dict[str, Any], known: Schema, path: str = "") -> Iterator[str]:
    for name, value in values.items():
        below = f"{path}.{name}" if path else name
        yield below
        if isinstance(value, dict) and "properties" in known.get(below, {}):
            yield from _default_paths(value, known, below)


def _inside_open_value(path: str, known: Schema) -> bool:
    parent = path.rpartition(".")[0]
    return bool(parent) and "properties" not in known.get(parent, {"properties": ()})


if __name__ == "__main__":
    sys.exit(main())

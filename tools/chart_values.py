"""The chart's values as their sources describe them; what the other tools of this folder share."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "dask-flows"
Schema = dict[str, Any]
NOTHING = object()


def source() -> Schema:
    """Read values.schema.yaml, shared parts included (keys that begin with x-)."""
    schema: Schema = yaml.safe_load((CHART / "values.schema.yaml").read_text())
    return schema


def defaults() -> dict[str, Any]:
    """Read values.yaml."""
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def walk(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield each value's dotted path and schema, blocks before what they hold."""
    for name, child in schema.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        yield below, child
        yield from walk(child, below)


def leaves(schema: Schema) -> dict[str, Schema]:
    """Return the values that hold no further named values."""
    return {path: node for path, node in walk(schema) if "properties" not in node}


def lookup(values: Any, path: str) -> Any:
    """Return what stands at a dotted path, or NOTHING."""
    for key in path.split("."):
        if not isinstance(values, dict) or key not in values:
            return NOTHING
        values = values[key]
    return values


def write_or_check(path: Path, text: str) -> int:
    """Write a generated file; with ``--check`` only compare. Returns the exit code."""
    name = path.relative_to(ROOT)
    if "--check" not in sys.argv[1:]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return 0
    if path.exists() and path.read_text() == text:
        return 0
    sys.stderr.write(f"{name} is not what its source says: run make docs, commit the result\n")
    return 1

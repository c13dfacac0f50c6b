"""Write docs/reference/values.md and phases.md from what they tell of; ``--check`` only compares."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import phases
from chart_values import NOTHING, ROOT, Schema, defaults, leaves, lookup, source, write_or_check

_INTRO = """\
# Values of the chart

<!-- Written by tools/docs.py from charts/dask-flows/values.schema.yaml: change it there. -->

Unknown keys are refused, so a mistyped one never goes unnoticed. Only `image.repository` must be set.
To change a value of an installed release and keep the others:
`helm upgrade RELEASE CHART --reset-then-reuse-values --set …`.
"""
_TABLE = "| value | default | what it does |\n|---|---|---|"


def main() -> int:
    """Write or check the page."""
    values = write_or_check(ROOT / "docs" / "reference" / "values.md", page(source(), defaults()))
    return write_or_check(phases.PATH, phases.page()) or values


def page(schema: Schema, values: dict[str, Any]) -> str:
    """Return the page: top-level values first, then a section for each block."""
    shared: Schema = schema["x-pod"]
    named = {name: node for name, node in schema["properties"].items() if _each(node)}
    top = {
        name: node
        for name, node in schema["properties"].items()
        if "properties" not in node and name not in named
    }
    blocks = {name: node for name, node in schema["properties"].items() if "properties" in node}
    parts = [_INTRO, _table(top, values)]
    for name, node in blocks.items():
        parts += [f"\n## {name}\n", _prose(node), "", _section(name, node, shared, values)]
    for name, node in named.items():
        rows = {f"{name}.<name>.{key}": child for key, child in _each(node).items()}
        parts += [f"\n## {name}\n", _prose(node), "", _table(rows, values)]
    parts += [
        "\n## Pod settings\n",
        f"The same under {_users(schema, shared)}; empty by default.\n",
    ]
    parts += [_TABLE, *(_row(name, node, NOTHING) for name, node in shared.items())]
    return "\n".join(parts) + "\n"


def _section(name: str, block: Schema, shared: Schema, values: dict[str, Any]) -> str:
    rows = {
        f"{name}.{path}": node
        for path, node in _with_blocks(block)
        if path.rpartition(".")[2] not in shared
    }
    table = _table(rows, values)
    if any(path.rpartition(".")[2] in shared for path in leaves(block)):
        table += "\n\nAnd the [pod settings](#pod-settings)."
    return table


def _each(node: Schema) -> dict[str, Schema]:
    """Return what each entry of a block with free names holds; empty for any other node."""
    entry = node.get("additionalProperties")
    return dict(entry.get("properties") or {}) if isinstance(entry, dict) else {}


def _with_blocks(block: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield leaves, and before those of an inner block its description."""
    for name, node in block["properties"].items():
        below = f"{path}.{name}" if path else name
        yield below, node
        if "properties" in node:
            yield from _with_blocks(node, below)


def _table(rows: dict[str, Schema], values: dict[str, Any]) -> str:
    lines = [_row(path, node, lookup(values, path)) for path, node in rows.items()]
    return "\n".join([_TABLE, *lines])


def _row(path: str, node: Schema, default: Any) -> str:
    shown = "" if default is NOTHING or "properties" in node else f"`{json.dumps(default)}`"
    text = _prose(node)
    if "enum" in node:
        text += f" One of {', '.join(f'`{word}`' for word in node['enum'])}."
    for example in node.get("examples", []):
        text += f" Example: `{json.dumps(example, ensure_ascii=False)}`."
    return f"| `{path}` | {shown} | {text.replace('|', chr(92) + '|')} |"


def _prose(node: Schema) -> str:
    return " ".join(node["description"].split())


def _users(schema: Schema, shared: Schema) -> str:
    marker = next(iter(shared))
    users = [
        path.removesuffix(f".{marker}") for path in leaves(schema) if path.endswith(f".{marker}")
    ]
    return ", ".join(f"`{path}`" for path in users)


if __name__ == "__main__":
    sys.exit(main())

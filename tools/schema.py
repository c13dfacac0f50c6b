"""Make the chart's values.schema.json from values.schema.yaml; ``--check`` only compares.

Every object with named values is closed, so that a mistyped key is refused instead of ignored.
"""

import json
import sys
from typing import Any

from chart_values import CHART, Schema, source, write_or_check

_ONLY_FOR_DOCS = ("examples",)


def main() -> int:
    """Write or check the schema."""
    text = json.dumps(strict(source()), indent=2, ensure_ascii=False)
    return write_or_check(CHART / "values.schema.json", f"{text}\n")


def strict(node: Any) -> Any:
    """Return a copy without shared parts and examples, with every object closed."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept: Schema = {
        key: _properties(value) if key == "properties" else strict(value)
        for key, value in node.items()
        if not key.startswith("x-") and key not in _ONLY_FOR_DOCS
    }
    if "properties" in kept:
        kept.setdefault("additionalProperties", False)
    return kept


def _properties(named: Schema) -> Schema:
    # Below "properties" keys are names of values, not words of the schema.
    return {name: strict(child) for name, child in named.items()}


if __name__ == "__main__":
    sys.exit(main())

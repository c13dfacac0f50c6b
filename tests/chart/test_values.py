"""Rule of the values: none is there for show."""

import functools
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from chart.render import ROOT, Rendered, RenderError, ci_values, merge, render

sys.path.insert(0, str(ROOT / "tools"))
import chart_values

# The largest first: most values show there.
FILES = dict(sorted(ci_values().items(), key=lambda item: item[0] != "maximal"))
# Not among the values files: a cluster that is not monitored does not know these kinds.
WATCHERS = ("serviceMonitor", "alerts", "dashboard")
FILES["monitored"] = merge(
    FILES["static"], {"monitoring": {part: {"enabled": True} for part in WATCHERS}}
)
# `enabled` is read by parent charts.
LEAVES = {k: v for k, v in chart_values.leaves(chart_values.source()).items() if k != "enabled"}


def other_values(node: dict[str, Any], default: Any) -> Iterator[Any]:
    """Yield values that differ from the default: examples, else by type."""
    yield from node.get("examples", [])
    yield from (word for word in node.get("enum", []) if word != default)
    if node.get("type") == "boolean":
        yield not default
    elif "integer" in node.get("type", ""):
        yield (default or 0) + 1


@functools.cache
def base(name: str) -> Rendered:
    """Return a render of one of the values files."""
    return render(FILES[name])


@pytest.mark.parametrize("path", LEAVES)
def test_every_value_changes_what_is_installed(path: str) -> None:
    """Each leaf of the schema, set to something else, makes a difference in some values file."""
    default = chart_values.lookup(chart_values.defaults(), path)
    others = list(other_values(LEAVES[path], None if default is chart_values.NOTHING else default))
    assert others, f"{path} needs an example in values.schema.yaml"

    assert any(differs(name, nested(path, other)) for name in FILES for other in others)


def differs(name: str, change: dict[str, Any]) -> bool:
    """Whether a values file renders to something else with this change; a refusal is no answer."""
    try:
        return render(merge(FILES[name], change)).files != base(name).files
    except RenderError:
        return False


def nested(path: str, value: Any) -> dict[str, Any]:
    """Return one value at a dotted path."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value

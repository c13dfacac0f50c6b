"""Turn what people type into typed values, all mistakes with the argument's name."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dask_flows.errors import UsageError
from dask_flows.submission import Source, pack


def flow_or_command(flow: str | None, rest: Sequence[str]) -> tuple[str | None, list[str] | None]:
    """Return the flow or the command: the first word is a flow if it looks like one and is alone."""
    words = [*([flow] if flow else []), *rest]
    if not words:
        raise UsageError(
            "nothing to run", do="name a flow like flow.py:main, or a command after --"
        )
    if len(words) == 1 and ":" in words[0]:
        return words[0], None
    if flow and ":" in flow and not flow.startswith("-"):
        raise UsageError(
            f"{' '.join(rest)!r} follows the flow",
            where="FLOW",
            do="pass parameters with -p name=value",
        )
    return None, words


def source_of(flow: str | None) -> tuple[str | None, Source | None]:
    """Pack a flow that is a file here; its name in the cluster has no folder."""
    if flow is None or not flow.rpartition(":")[0].endswith(".py"):
        return flow, None
    path, _, name = flow.rpartition(":")
    return f"{Path(path).name}:{name}", pack(Path(path))


def source_of_command(words: list[str]) -> tuple[list[str], Source | None]:
    """Pack the first word that is a Python file here; in the cluster it lies in the start directory."""
    for n, word in enumerate(words):
        path = Path(word)
        if path.suffix == ".py" and path.is_file():
            return [*words[:n], path.name, *words[n + 1 :]], pack(path)
    return words, None


def parameters(pairs: Sequence[str], file: Path | None) -> dict[str, Any]:
    """Merge a file's parameters with ``k=v`` pairs, which win; values are JSON, else text."""
    merged = _from_file(file) if file else {}
    for pair in pairs:
        key, value = split_pair(pair, "-p")
        try:
            merged[key] = json.loads(value)
        except ValueError:
            merged[key] = value
    return merged


def environment(pairs: Sequence[str]) -> list[dict[str, str]] | None:
    """Return the run's environment variables."""
    entries = [split_pair(pair, "--env") for pair in pairs]
    return [{"name": key, "value": value} for key, value in entries] or None


def split_pair(pair: str, option: str) -> tuple[str, str]:
    """Split ``k=v`` at the first ``=``; raises UsageError."""
    key, equals, value = pair.partition("=")
    if not equals or not key:
        raise UsageError(
            f"{pair!r} is not name=value", where=option, do=f"write {option} name=value"
        )
    return key, value


def worker_fields(text: str | None) -> dict[str, int] | None:
    """Read ``N`` or ``MIN:MAX``."""
    if text is None:
        return None
    low, colon, high = text.partition(":")
    if not all(part.isdecimal() for part in ([low, high] if colon else [low])):
        raise UsageError(
            f"{text!r} is not a number of workers", where="--workers", do="write 4 or 1:8"
        )
    return {"minimum": int(low), "maximum": int(high)} if colon else {"replicas": int(low)}


def _from_file(file: Path) -> dict[str, Any]:
    import yaml

    try:
        data = yaml.safe_load(file.read_text())  # JSON is YAML
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read the parameters: {error}", where=str(file)) from None
    if not isinstance(data, dict):
        raise UsageError(
            "the parameters are no mapping", where=str(file), do="write name: value lines"
        )
    return data

"""What commands print: lines, kubectl-style tables and JSON on standard output, complaints beside it."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def write(line: str = "") -> None:
    """Write one line of output."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def write_json(value: Any) -> None:
    """Write a value as indented JSON."""
    write(json.dumps(value, indent=2, ensure_ascii=False))


def to_yaml(objects: Sequence[Any]) -> str:
    """Write objects as YAML that kubectl reads as it was meant: ``y`` and ``n`` are text, not truth."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes what YAML 1.1, which kubectl speaks, takes for a boolean."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else "'" if value.lower() in ("y", "n") else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return yaml.dump_all(objects, Dumper=Dumper, sort_keys=False).rstrip()


def note(line: str) -> None:
    """Write one line for the person, not for a pipe."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def complain(message: str) -> None:
    """Write a failure."""
    note(f"error: {message}")


def write_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write columns as kubectl does: upper-case header, three spaces, no lines."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(header))]
    for line in lines:
        write(
            "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )

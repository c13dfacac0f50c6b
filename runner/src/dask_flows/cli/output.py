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

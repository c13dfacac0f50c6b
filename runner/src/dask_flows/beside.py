"""What lies beside a flow: its modules, and its packages with everything in them."""

import os
from collections.abc import Iterator
from pathlib import Path

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "venv", "env", "build", "dist"})


class TooMany(Exception):
    """A folder has more entries than anybody wants to look at."""


def files(root: Path, most: int | None = None) -> Iterator[Path]:
    """Yield modules beside the flow, and everything inside packages beside it, in order.

    Raises TooMany after ``most`` entries, files or not: a flow may lie in a home folder.
    """
    left = [most]
    for path in _entries(root, left):
        if path.is_file() and path.suffix == ".py" and not path.name.startswith("."):
            yield path
        elif path.is_dir() and _visible(path):
            inside = _entries(path, left)
            if any(entry.suffix == ".py" for entry in inside):
                yield from _package(inside, left)


def _package(entries: list[Path], left: list[int | None]) -> Iterator[Path]:
    for path in entries:
        if path.is_dir() and _visible(path):
            yield from _package(_entries(path, left), left)
        elif path.is_file() and path.suffix != ".pyc" and not path.name.startswith("."):
            yield path


def _entries(folder: Path, left: list[int | None]) -> list[Path]:
    found: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if left[0] is not None:
                    left[0] -= 1
                    if left[0] < 0:
                        raise TooMany(str(folder))
                found.append(folder / entry.name)
    except PermissionError:
        return []
    return sorted(found)


def _visible(folder: Path) -> bool:
    return not folder.name.startswith(".") and folder.name not in SKIPPED_FOLDERS

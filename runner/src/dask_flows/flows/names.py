"""Names of modules, files and places in code, for imports and for messages."""

import ast
import os
import re
import traceback
from pathlib import Path
from typing import Any

from dask_flows.flows.syntax import parsed

_IMPORT_MACHINERY = ("<frozen", "importlib")


def dotted(text: str) -> bool:
    """Whether the text is one or more identifiers with dots between."""
    return all(part.isidentifier() for part in text.split("."))


def tidy(file: Path) -> Path:
    """Return an absolute path without ``..``; links are not followed (see ``source.is_own``)."""
    return Path(os.path.normpath(file.absolute()))


def of_file(file: Path) -> tuple[Path, str]:
    """Return the folder that must be importable, and the file's module name with its packages."""
    root, parts = file.parent, [file.stem]
    while (root / "__init__.py").is_file() and root.name.isidentifier():
        parts.insert(0, root.name)
        root = root.parent
    if not parts[-1].isidentifier():
        parts[-1] = "flow_" + re.sub(r"\W", "_", parts[-1])
    return root, ".".join(parts)


def functions_in(file: Path) -> list[str]:
    """Return the public functions that a file defines, read without running it."""
    try:
        tree = parsed(file.read_text())
    except (OSError, ValueError, SyntaxError):
        return []
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [n.name for n in tree.body if isinstance(n, kinds) and not n.name.startswith("_")]


def advice(reference: str) -> str:
    """Return what to write instead of a reference without a function."""
    file = Path(reference)
    found = functions_in(file) if file.suffix == ".py" else []
    if found:
        return f"write {' or '.join(f'{reference}:{name}' for name in found[-3:])}"
    return "write it like flow.py:main or package.module:main; a command follows --"


def kind(value: Any) -> str:
    """Name a value's type with an article."""
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def place(error: BaseException, otherwise: str) -> str:
    """Return ``file:line`` of the innermost line of the user's that led to the error."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_IMPORT_MACHINERY[0])
        and _IMPORT_MACHINERY[1] not in Path(frame.filename).parts
        and "dask_flows" not in Path(frame.filename).parts
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else otherwise

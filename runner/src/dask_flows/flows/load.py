"""Find a flow by its name: ``package.module:name`` or ``path/file.py:name``.

Every way this can go wrong is a BadFlow that says what was found, where, and what to do; a mistake inside
the user's own module shows the user's own frames.
"""

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from dask_flows.errors import BadFlow

FORM = "write package.module:name or path/file.py:name"


@dataclass(frozen=True)
class Flow:
    """A callable and where it came from; ``root`` is the folder of a flow in a file."""

    name: str
    function: Callable[..., Any]
    root: Path | None


def load_flow(name: str, source: Path | None = None) -> Flow:
    """Import a flow; files are looked for in ``source``, else in the current folder.

    Raises BadFlow.
    """
    where, colon, attribute = name.rpartition(":")
    if not (colon and where and attribute):
        raise BadFlow(f"{name!r} does not name a flow", where="flow", do=FORM)
    if where.endswith(".py"):
        file = ((source or Path.cwd()) / where).resolve()
        return Flow(name, _callable(_from_file(file, name), attribute, name), file.parent)
    _search_first(source or Path.cwd())
    return Flow(name, _callable(_from_module(where, name), attribute, name), source)


def _from_file(file: Path, name: str) -> ModuleType:
    if not file.is_file():
        nearby = (
            sorted(path.name for path in file.parent.glob("*.py")) if file.parent.is_dir() else []
        )
        beside = f"; beside it: {', '.join(nearby)}" if nearby else ""
        raise BadFlow(f"there is no file {file.name}{beside}", where=name, do="check the path")
    _search_first(file.parent)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None, "a .py file always has a spec"
    assert spec.loader is not None, "and a loader"
    module = importlib.util.module_from_spec(spec)
    # Pickle looks functions up by their module's name, so it must be importable under it.
    sys.modules[file.stem] = module
    _guarded(partial(spec.loader.exec_module, module), name, file.parent)
    return module


def _from_module(module: str, name: str) -> ModuleType:
    found: list[ModuleType] = []
    _guarded(lambda: found.append(importlib.import_module(module)), name, None, wanted=module)
    return found[0]


def _guarded(
    importing: Callable[[], object], name: str, root: Path | None, wanted: str = ""
) -> None:
    """Import, and turn every failure into a BadFlow."""
    try:
        importing()
    except SyntaxError as error:
        line = f": {error.text.strip()}" if error.text else ""
        raise BadFlow(
            f"{error.msg}{line}",
            where=f"{_short(error.filename, root)}:{error.lineno}" if error.filename else name,
            do="correct the line",
        ) from error
    except ModuleNotFoundError as error:
        own = error.name is not None and (
            wanted == error.name or wanted.startswith(f"{error.name}.")
        )
        do = (
            "check the name; it must be beside the flow or in the image"
            if own
            else "put it beside the flow, or build an image with it"
        )
        place = name if own else _place(error, root) or name
        raise BadFlow(f"there is no module {error.name}", where=place, do=do) from error
    except (Exception, SystemExit) as error:
        raise BadFlow(
            f"importing it raised {type(error).__name__}: {error}",
            where=_place(error, root) or name,
            do="correct the module; its traceback is above",
        ) from error


def _callable(module: ModuleType, attribute: str, name: str) -> Callable[..., Any]:
    missing = object()
    found = getattr(module, attribute, missing)
    if found is missing:
        names = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        near = difflib.get_close_matches(attribute, names, n=3) or sorted(names)[:5]
        raise BadFlow(
            f"there is no {attribute} in {module.__name__}",
            where=name,
            do=f"did you mean {', '.join(near)}?" if near else "define it",
        )
    if not callable(found):
        raise BadFlow(
            f"{attribute} is a {type(found).__name__}, not callable",
            where=name,
            do="name a function",
        )
    function: Callable[..., Any] = found
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise BadFlow(
            f"{attribute} is a generator: calling it does nothing",
            where=name,
            do="return a value instead of yielding",
        )
    return function


def _search_first(folder: Path) -> None:
    """Make modules of this folder importable, before all others."""
    path = str(folder)
    if path not in sys.path:
        sys.path.insert(0, path)


def _place(error: BaseException, root: Path | None) -> str:
    """Return file:line of the user's last frame."""
    frames = user_frames(error)
    return f"{_short(frames[-1].filename, root)}:{frames[-1].lineno}" if frames else ""


def user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames of a traceback that are neither ours nor the import system's."""
    ours = str(Path(__file__).parents[1])
    return [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((ours, "<frozen")) and "/importlib/" not in frame.filename
    ]


def _short(filename: str | None, root: Path | None) -> str:
    path = Path(filename or "?")
    return str(path.relative_to(root)) if root and path.is_relative_to(root) else str(path)

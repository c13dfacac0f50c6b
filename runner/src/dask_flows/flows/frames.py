"""Show a failure as its author needs it: the lines of the flow, without the machinery around them."""

import traceback
from pathlib import Path

from dask_flows.flows.syntax import unspoiled
from dask_flows.modules import is_installed

_MACHINERY = frozenset({"dask_flows", "dask", "distributed", "tornado", "tlz", "toolz"})
LAST_FRAMES = 3


def format_failure(error: BaseException, *, debug: bool) -> str:
    """Return the traceback with the user's frames only; with ``debug`` with all of them.

    Where nothing is left of it, its last frames stay: a traceback without a place helps nobody.
    """
    shown = traceback.TracebackException.from_exception(error)
    last = shown.stack[-LAST_FRAMES:]
    if not debug and not _filter(shown, set()):
        shown.stack[:] = last
    return unspoiled(lambda: "".join(shown.format())).rstrip("\n")


def place_of(error: BaseException) -> str:
    """Return ``file:line`` of the user's innermost frame; empty if there is none."""
    frames = _user_frames(traceback.extract_tb(error.__traceback__))
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _filter(shown: traceback.TracebackException, seen: set[int]) -> bool:
    """Leave the user's frames in it and in what it came of; returns whether it says a place."""
    if id(shown) in seen:
        return False
    seen.add(id(shown))
    code = hasattr(shown, "end_lineno")  # a SyntaxError, which says its place itself
    shown.stack[:] = _own_frames(shown.stack) if code else _user_frames(shown.stack)
    others = (shown.__cause__, shown.__context__, *(shown.exceptions or ()))
    said = [_filter(other, seen) for other in others if other is not None]
    return code or bool(shown.stack) or any(said)


def _user_frames(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    """Return the frames outside of installed packages; without any, those of other packages."""
    own = _own_frames(stack)
    return own or [f for f in stack if not _is_machinery(f) and not _is_frozen(f)]


def _own_frames(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    outside = [f for f in stack if not _is_machinery(f) and not is_installed(Path(f.filename))]
    return [f for f in outside if not _is_frozen(f)]


def _is_frozen(frame: traceback.FrameSummary) -> bool:
    """Whether a frame is of Python's own imports."""
    return frame.filename.startswith("<frozen")


def _is_machinery(frame: traceback.FrameSummary) -> bool:
    """Whether a frame is Dask's or ours; flows may live anywhere else, also in a folder of our name."""
    path = Path(frame.filename)
    package = path.parts[_package_index(path) :]
    return bool(package) and package[0] in _MACHINERY and path.suffix == ".py"


def _package_index(path: Path) -> int:
    """Return where the package path begins: after site-packages, or after a ``src`` folder."""
    for marker in ("site-packages", "dist-packages", "src"):
        if marker in path.parts:
            return path.parts.index(marker) + 1
    return len(path.parts)

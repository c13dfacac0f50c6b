"""A flow's own modules: which they are, and the mark that lets them travel.

What is imported from the flow's folder, early or late, is marked: cloudpickle then puts its functions and
classes into pickles by value, and they say which :class:`Origin` they come from, so that a worker finds the
modules that they import later. What is installed (standard library, site-packages, this package) never is.
"""

import os
import sys
import sysconfig
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType

import cloudpickle
from cloudpickle import cloudpickle as inner

OWN_PACKAGE = "dask_flows"
MARK = "__dask_flows__"  # in a module's globals: its origin's token
ORIGIN_PATH = "dask-flows:"  # in ``__path__`` of a travelled function's globals: the same, last
_INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True)
class Origin:
    """The folder whose modules a program imports as its own; the token tells it from all others."""

    root: Path
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    marked: set[str] = field(default_factory=set, compare=False, repr=False)
    registered: set[str] = field(default_factory=set, compare=False, repr=False)


class ByValueFinder(MetaPathFinder):
    """Finds modules as Python does, and marks those below a folder to be pickled by value."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the module's spec if it is a source file of the flow's own; else leave it to others."""
        if fullname.partition(".")[0] == OWN_PACKAGE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader or spec.origin is None:
            return None
        if not is_own(Path(spec.origin), self.origin.root):
            return None
        spec.loader = ByValueLoader(spec.loader.name, spec.loader.path, self.origin)
        return spec


def watched() -> list[Origin]:
    """Return the origins whose folders this process imports from."""
    return [finder.origin for finder in sys.meta_path if isinstance(finder, ByValueFinder)]


def origin_of(root: Path) -> Origin:
    """Return the origin of a folder, the same one as long as it is watched."""
    return next((origin for origin in watched() if origin.root == root), Origin(root))


class ByValueLoader(SourceFileLoader):
    """Marks a module before its code runs, so that what it pickles while importing is right, too."""

    def __init__(self, fullname: str, path: str, origin: Origin) -> None:
        super().__init__(fullname, path)
        self._origin = origin

    def exec_module(self, module: ModuleType) -> None:
        """Mark and run the module, then name its classes."""
        mark(module, self._origin)
        super().exec_module(module)
        identify(module, self._origin.token)


def mark(module: ModuleType, origin: Origin) -> None:
    """Let a module's functions and classes travel inside pickles; it must be in ``sys.modules``."""
    setattr(module, MARK, origin.token)
    origin.marked.add(module.__name__)
    if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
        cloudpickle.register_pickle_by_value(module)
        origin.registered.add(module.__name__)  # what a user has registered stays so afterwards


def unmark(origin: Origin) -> None:
    """Let the origin's modules go by reference again: another run of this process may be elsewhere."""
    known = cloudpickle.list_registry_pickle_by_value()
    for name in origin.marked:
        module = sys.modules.get(name)
        if module is not None and getattr(module, MARK, None) == origin.token:
            delattr(module, MARK)
            if name in origin.registered & known:
                cloudpickle.unregister_pickle_by_value(module)
    origin.marked.clear()
    origin.registered.clear()


def mark_known(origin: Origin) -> None:
    """Mark what was imported from the folder before a finder watched."""
    below = f"{origin.root}{os.sep}"
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(module, ModuleType) or not isinstance(file, str):
            continue
        if name.partition(".")[0] == OWN_PACKAGE or getattr(module, "__name__", None) != name:
            continue
        path = _tidy(file)
        if str(path).startswith(below) and is_own(path, origin.root):
            mark(module, origin)
            identify(module, origin.token)


def identify(module: ModuleType, token: str) -> None:
    """Give a module's classes names that mean the same class in every process of the run.

    cloudpickle rebuilds a class once per process and name, and takes it from then on. A class that came
    inside a pickle and the one of a module that is imported afterwards so stay one: the first wins.
    """
    try:
        lock = inner._DYNAMIC_CLASS_TRACKER_LOCK  # noqa: SLF001 - cloudpickle has no public way
        by_name = inner._DYNAMIC_CLASS_TRACKER_BY_ID  # noqa: SLF001
        by_class = inner._DYNAMIC_CLASS_TRACKER_BY_CLASS  # noqa: SLF001
    except AttributeError:  # another version: classes go as cloudpickle alone sends them
        return
    for holder, attribute, found in list(_classes(module)):
        name = f"{OWN_PACKAGE}:{token}:{module.__name__}:{found.__qualname__}"
        with lock:
            first = by_name.setdefault(name, found)
            by_class[first] = name
        if first is not found:
            setattr(holder, attribute, first)
            _inherit(found, first)


def _classes(module: ModuleType) -> Iterator[tuple[object, str, type]]:
    """Yield the classes that a module defines, those inside of others, too, and where they are."""
    waiting: list[tuple[object, str]] = [(module, "")]
    while waiting:
        holder, prefix = waiting.pop()
        for attribute, value in list(vars(holder).items()):
            if not isinstance(value, type) or value.__module__ != module.__name__:
                continue
            if value.__qualname__ == prefix + attribute:
                yield holder, attribute, value
                waiting.append((value, f"{value.__qualname__}."))


def _inherit(found: type, first: type) -> None:
    """Let what the module derived from one class derive from the other."""
    derived: type
    for derived in type.__subclasses__(found):
        bases = tuple(first if base is found else base for base in derived.__bases__)
        try:
            derived.__bases__ = bases
        except TypeError:  # another layout: it stays as it is
            continue


def program_folders() -> Iterator[Path]:
    """Yield where this process's program looks for its modules: its script's folder, and the first one."""
    main = sys.modules.get("__main__")
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    depth = spec.name.count(".") if spec is not None else 0
    found = [_tidy(sys.path[0] if sys.path else "")]
    if isinstance(file, str):
        found.insert(0, _tidy(file).parents[depth])
    for folder in found:
        if folder.is_dir() and not is_installed(folder):
            yield folder


def _tidy(file: str) -> Path:
    """Return an absolute path without ``..``; links are not followed, see :func:`is_own`."""
    return Path(os.path.normpath(Path(file).absolute()))


def program_origin() -> Origin | None:
    """Return where this process's program has its modules from; None if from nowhere."""
    return next((origin_of(folder) for folder in program_folders()), None)


def root_of(module: ModuleType) -> Path | None:
    """Return the folder that a module is imported from, its top package's; None without a file."""
    file = getattr(module, "__file__", None)
    if file is None:
        return None
    depth = module.__name__.count(".") + (1 if hasattr(module, "__path__") else 0)
    return Path(file).absolute().parents[depth]


def is_own(file: Path, root: Path) -> bool:
    """Whether a file belongs to the flow: below its folder and not installed.

    Links are not followed: the files of a mounted ConfigMap are links to a folder of another name.
    """
    return file.is_absolute() and file.is_relative_to(root) and not is_installed(file)


def is_installed(file: Path) -> bool:
    """Whether a file belongs to Python or to an installed package: workers have those, too."""
    if _INSTALLED_FOLDERS.intersection(file.parts):
        return True
    return any(file.is_relative_to(folder) for folder in _standard())


@cache
def _standard() -> tuple[str, ...]:
    paths: Iterable[str | None] = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
    return tuple({path for path in paths if path})

"""Where a flow's own modules are, and how they get to the workers.

Workers need not have the modules beside a flow: whatever is imported from the flow's folder, early or late,
is pickled by value. What is installed (standard library, site-packages, this package) never is.
"""

import stat
import sys
import sysconfig
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path, PurePosixPath
from types import ModuleType

import cloudpickle

from dask_flows.errors import BadFlow

MAX_UNPACKED = 64 * 1024 * 1024  # bytes; the zip itself is at most 900 KiB
OWN_PACKAGE = "dask_flows"
_INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a source zip into a folder; raises BadFlow for one that is broken or tries to escape."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = zipped.infolist()
            _check(members, archive)
            folder.mkdir(parents=True, exist_ok=True)
            zipped.extractall(folder, members)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise BadFlow(
            f"cannot unpack the source: {error}",
            where=str(archive),
            do="make the ConfigMap with dask-flows submit, or put a plain zip into it",
        ) from None
    return folder


def _check(members: Sequence[zipfile.ZipInfo], archive: Path) -> None:
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        link = stat.S_ISLNK(member.external_attr >> 16)
        if (
            path.is_absolute()
            or ".." in path.parts
            or link
            or not path.parts
            or ":" in path.parts[0]
        ):
            raise BadFlow(
                f"the source holds {member.filename!r}, which leads out of its folder",
                where=str(archive),
                do="make the ConfigMap with dask-flows submit",
            )
    size = sum(member.file_size for member in members)
    if size > MAX_UNPACKED:
        raise BadFlow(
            f"the source has {size} bytes unpacked, more than {MAX_UNPACKED}",
            where=str(archive),
            do="leave data files out, or build an image with the modules",
        )


@contextmanager
def importable(root: Path) -> Iterator[None]:
    """Make a folder's modules importable, and let them travel by value while the context lasts."""
    finder = ByValueFinder(root)
    sys.path.insert(0, str(root))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if str(root) in sys.path:
            sys.path.remove(str(root))


class ByValueFinder(MetaPathFinder):
    """Finds modules as Python does, and marks those below a folder to be pickled by value."""

    def __init__(self, root: Path) -> None:
        self._root = root

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
        if not is_own(Path(spec.origin), self._root):
            return None
        spec.loader = ByValueLoader(spec.loader.name, spec.loader.path)
        return spec


class ByValueLoader(SourceFileLoader):
    """Marks a module before its code runs, so that what it pickles while importing is right, too."""

    def exec_module(self, module: ModuleType) -> None:
        """Mark and run the module."""
        by_value(module)
        super().exec_module(module)


def by_value(module: ModuleType) -> None:
    """Let a module's functions and classes travel inside pickles."""
    cloudpickle.register_pickle_by_value(module)


def is_own(file: Path, root: Path) -> bool:
    """Whether a file belongs to the flow: below its folder and not installed.

    Links are not followed: the files of a mounted ConfigMap are links to a folder of another name.
    """
    return file.is_absolute() and file.is_relative_to(root) and not is_installed(file)


def is_installed(file: Path) -> bool:
    """Whether a file belongs to Python or to an installed package: workers have those, too."""
    if _INSTALLED_FOLDERS.intersection(file.parts):
        return True
    standard = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    return any(file.is_relative_to(folder) for folder in standard if folder)

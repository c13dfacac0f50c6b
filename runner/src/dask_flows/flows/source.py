"""Where a flow's source is: unpack it, and make its modules importable."""

import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from dask_flows.errors import BadFlow
from dask_flows.modules import ByValueFinder, Origin, mark_known, unmark, watched

MAX_UNPACKED = 64 * 1024 * 1024  # bytes; the zip itself is at most 900 KiB


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
    """Make a folder's modules importable while the context lasts."""
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        if str(root) in sys.path:
            sys.path.remove(str(root))


@contextmanager
def travelling(origin: Origin | None) -> Iterator[None]:
    """Let what is imported from an origin's folder travel by value, while the context lasts."""
    if origin is None or origin in watched():
        yield
        return
    mark_known(origin)
    finder = ByValueFinder(origin)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        unmark(origin)

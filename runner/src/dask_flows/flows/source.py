"""A flow's own modules: unpack them, and let them travel to workers that do not have them."""

import shutil
import sys
import zipfile
from pathlib import Path
from types import ModuleType

from dask_flows.errors import BadFlow

MAX_UNPACKED_BYTES = 64 * 2**20  # what a zip of 900 KiB may become: a bomb is refused


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a zip into a new folder; raises BadFlow for one that is broken or reaches outside."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as content:
            _check(content, folder)
            content.extractall(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise BadFlow(
            f"cannot unpack the source: {error}", where=str(archive), do="submit the run again"
        ) from None
    return folder


def _check(content: zipfile.ZipFile, folder: Path) -> None:
    for name in content.namelist():
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise BadFlow(f"{name!r} reaches outside the source", where="source", do="pack it anew")
    if sum(entry.file_size for entry in content.infolist()) > MAX_UNPACKED_BYTES:
        limit = MAX_UNPACKED_BYTES // 2**20
        raise BadFlow(
            f"the source has over {limit} MiB unpacked", where="source", do="use an image"
        )


def travel_by_value(root: Path | None) -> list[str]:
    """Let the loaded modules below ``root`` travel inside pickles; returns their names.

    Workers of a shared cluster do not have them, and must not get them for good: two runs may bring
    different modules of one name.
    """
    if root is None:
        return []
    import cloudpickle  # noqa: PLC0415 - it comes with distributed, which not every run needs

    own = [module for module in list(sys.modules.values()) if _below(module, root.resolve())]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    return sorted(module.__name__ for module in own)


def _below(module: ModuleType | None, root: Path) -> bool:
    file = getattr(module, "__file__", None)
    if not file or "site-packages" in file:
        return False
    return Path(file).resolve().is_relative_to(root)

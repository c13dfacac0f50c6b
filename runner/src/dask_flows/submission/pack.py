"""Pack a flow's file and the modules beside it.

Small sources travel inside the FlowRun, where ``kubectl get flowrun -o yaml`` shows them; larger ones
become a zip in a ConfigMap. A zip has fixed times and a fixed order: the same files give the same bytes.
"""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from dask_flows import beside
from dask_flows.errors import UsageError

MAX_INLINE_BYTES = 48 * 1024  # the schema admits 64 KiB; JSON escapes need room
MAX_INLINE_FILES = 32
MAX_ZIP_BYTES = 900 * 1024  # a ConfigMap holds 1 MiB, base64 and all
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Source:
    """A flow's files by relative path; ``zipped`` only if they are too many or too large to inline."""

    files: dict[str, bytes]
    zipped: bytes | None


def pack(flow_file: Path) -> Source:
    """Pack the file, the modules beside it and the packages beside it.

    Raises UsageError if the file is not there or the zip is over 900 KiB.
    """
    if not flow_file.is_file():
        raise UsageError("the flow's file is not there", where=str(flow_file), do="check the path")
    root = flow_file.resolve().parent
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in beside.files(root)}
    if _inline(files):
        return Source(files, None)
    zipped = _zip(files)
    if len(zipped) > MAX_ZIP_BYTES:
        largest = sorted(files, key=lambda name: -len(files[name]))[:3]
        raise UsageError(
            f"the modules beside the flow need {len(zipped) // 1024} KiB zipped, more than 900",
            where=f"{root}; largest: {', '.join(largest)}",
            do="move the flow into a folder of its own, or build an image with the modules",
        )
    return Source(files, zipped)


def _inline(files: dict[str, bytes]) -> bool:
    small = len(files) <= MAX_INLINE_FILES and sum(map(len, files.values())) <= MAX_INLINE_BYTES
    return small and all(_is_text(content) for content in files.values())


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), files[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()

"""Types of options: one number in the right range, or a message that names the option."""

import math
from collections.abc import Callable
from pathlib import Path

from dask_flows.errors import UsageError

LARGEST = 1_000_000  # workers or threads; more is a slip of the keys
LEAST_MEMORY = 1024 * 1024  # bytes; a worker with less cannot even start


def seconds(option: str) -> Callable[[str], float]:
    """Return what reads more than 0 seconds."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number > 0):
            raise UsageError(
                f"{text!r} is not a time", where=option, do="give seconds, more than 0, like 90"
            )
        return number

    return read


def whole_seconds(option: str) -> Callable[[str], int]:
    """Return what reads whole seconds, 1 or more: a FlowRun has no others."""

    def read(text: str) -> int:
        number = _whole(text)
        if number is None or number < 1:
            raise UsageError(
                f"{text!r} is not a time", where=option, do="give whole seconds, 1 or more, like 90"
            )
        return number

    return read


def count(option: str, least: int = 1, most: int = LARGEST) -> Callable[[str], int]:
    """Return what reads a whole number from ``least`` to ``most``."""
    fit = f"{least} or more" if most == LARGEST else f"{least} to {most}"

    def read(text: str) -> int:
        number = _whole(text)
        if number is None or not least <= number <= most:
            raise UsageError(
                f"{text!r} is not a number that fits",
                where=option,
                do=f"give {fit}, as a whole number",
            )
        return number

    return read


def memory(text: str) -> str:
    """Return the text if Dask reads it as an amount of memory that a worker can live with."""
    from dask.utils import parse_bytes

    try:
        amount = parse_bytes(text)
    except (ValueError, OverflowError):
        amount = -1
    if amount < LEAST_MEMORY and text != "0":
        raise UsageError(
            f"{text!r} is not an amount of memory",
            where="--memory",
            do="write it like 512MiB or 2GiB; it is for each worker; 0 is no limit",
        )
    return text


def folder(option: str) -> Callable[[str], Path]:
    """Return what reads the path of a folder, which need not be there."""

    def read(text: str) -> Path:
        path = Path(text)
        if not text or (path.exists() and not path.is_dir()):
            raise UsageError(f"{text!r} is not a folder", where=option, do="name another one")
        return path

    return read


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None

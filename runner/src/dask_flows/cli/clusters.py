"""Options that name a cluster class, and what is given to it and to the client."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dask_flows.errors import UsageError

if TYPE_CHECKING:
    from dask_flows.clusters import Asked


def add_class_arguments(group: Any) -> None:
    """Add them to the group."""
    group.add_argument("--cluster-class", metavar="NAME",
                       help="class or function that makes a cluster, like package.module:Name")  # fmt: skip
    group.add_argument("--cluster-kwargs", type=mapping("--cluster-kwargs"), metavar="JSON",
                       help="its arguments as a JSON object, or @FILE")  # fmt: skip
    group.add_argument("--adapt", type=adapt, metavar="MIN:MAX",
                       help="let it grow and shrink; the same number twice is a fixed size")  # fmt: skip
    group.add_argument("--client-kwargs", type=mapping("--client-kwargs"), metavar="JSON",
                       help="arguments of the Dask client as a JSON object, or @FILE")  # fmt: skip


def asked_of(args: argparse.Namespace) -> "Asked":
    """Return what the arguments say about the cluster."""
    from dask_flows.clusters import Asked

    return Asked(
        mode=args.mode,
        address=args.address,
        minimum_workers=args.minimum_workers,
        workers=args.workers,
        threads=args.threads,
        memory=args.memory,
        cluster_class=args.cluster_class,
        cluster_kwargs=args.cluster_kwargs,
        adapt=args.adapt,
    )


def mapping(option: str) -> Any:
    """Return what reads a JSON object, or a file that holds one."""

    def read(text: str) -> dict[str, Any]:
        try:
            value = json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{_short(text)} is not JSON: {error}",
                where=option,
                do="""write it like '{"n_workers": 2}', or @file.json""",
            ) from None
        if not isinstance(value, dict):
            raise UsageError(
                f"{_short(text)} is no JSON object",
                where=option,
                do="""write names and values, like '{"n_workers": 2}'""",
            )
        return value

    return read


def adapt(text: str) -> tuple[int, int]:
    """Read ``MIN:MAX``, or one number for a fixed size."""
    low, colon, high = text.partition(":")
    parts = [low, high] if colon else [low, low]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise UsageError(
            f"{text!r} is no least and largest number of workers",
            where="--adapt",
            do="write it like 1:8",
        )
    return int(parts[0]), int(parts[1])


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")  # noqa: PLR2004

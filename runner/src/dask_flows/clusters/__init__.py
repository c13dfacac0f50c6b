"""Clusters: a run asks with :class:`Wanted` and gets a :class:`Session`.

Schedulers and workers import modules of this package when they start, so it imports nothing itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dask_flows.clusters.attaching import attach
    from dask_flows.clusters.base import Attached, Cluster, Hear, Say, Scaling, Tasks, Wanted
    from dask_flows.clusters.choice import Asked, Choice, choose

__all__ = [
    "Asked", "Attached", "Choice", "Cluster", "Hear", "Say", "Scaling", "Tasks", "Wanted", "attach",
    "choose",
]  # fmt: skip

_HOMES = {
    "attach": "attaching",
    **dict.fromkeys(("Attached", "Cluster", "Hear", "Say", "Scaling", "Tasks", "Wanted"), "base"),
    **dict.fromkeys(("Asked", "Choice", "choose"), "choice"),
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

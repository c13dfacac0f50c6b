"""Run ordinary Python programs on Dask, on a laptop or in Kubernetes, unchanged."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dask_flows.errors import DaskFlowsError
    from dask_flows.run.api import run
    from dask_flows.run.notebook import Cluster, cluster
    from dask_flows.run.result import RunOutcome

__version__ = "0.1.0"

__all__ = ["Cluster", "DaskFlowsError", "RunOutcome", "__version__", "cluster", "run"]

# Only who uses them waits for Dask to be imported.
_HOMES = {
    "Cluster": "dask_flows.run.notebook",
    "DaskFlowsError": "dask_flows.errors",
    "RunOutcome": "dask_flows.run.result",
    "cluster": "dask_flows.run.notebook",
    "run": "dask_flows.run.api",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """Keeps ``dask_flows.run`` the function: importing the package of that name would replace it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _HOMES:
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

"""Set environment variables for child processes; nothing is read here but what is put back."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from dask_flows.layers import ABSENT, Layers


def exported(variables: Mapping[str, str]) -> AbstractContextManager[None]:
    """Set variables for the processes that are started while the context lasts."""
    return _variables.added(variables)


def without_exported() -> dict[str, str]:
    """Return the environment as it is for this thread: without what others have exported for their time."""
    return {
        k: v for k, v in {**os.environ, **_variables.set_elsewhere()}.items() if v is not ABSENT
    }


def _write(name: str, value: Any) -> None:
    if value is ABSENT:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


_variables = Layers(lambda name: os.environ.get(name, ABSENT), _write)

"""Settings of Dask for the time of a run or a cluster; several may overlap."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import dask
from dask.config import canonical_name

from dask_flows.layers import ABSENT, Layers


def with_settings(values: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Set them while the context lasts, as ``dask.config.set`` does, whoever ends first."""
    return _settings.added(values)


def _read(key: str) -> Any:
    return dask.config.get(key, default=ABSENT)


def _write(key: str, value: Any) -> None:
    if value is not ABSENT:
        dask.config.set({key: value})
        return
    with dask.config.config_lock:
        _remove(key.split("."), dask.config.config)


def _remove(keys: list[str], settings: Any) -> None:
    """Remove a key, and the sections that are empty without it."""
    name = canonical_name(keys[0], settings) if isinstance(settings, dict) else None
    if name is None or name not in settings:
        return
    if len(keys) > 1:
        _remove(keys[1:], settings[name])
    if len(keys) == 1 or settings[name] == {}:
        del settings[name]


_settings = Layers(_read, _write)

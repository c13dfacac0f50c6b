"""Let modules that are marked to travel by value do so in whole graphs, too, at the price of a plain pickle.

``distributed`` pickles with Python's own pickle first and takes cloudpickle only if that fails or if the
object itself, not something inside it, belongs to a registered module. A graph that merely refers to such
a module would leave by reference, and fail on a worker that does not have it. cloudpickle alone gets it
right and takes several times as long. So here is cloudpickle's way with functions, classes and modules in
Python's own pickler, which asks no more than that about other objects.
"""

import copyreg
import functools
import io
import pickle as python_pickle
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FunctionType
from typing import Any

from cloudpickle import cloudpickle
from distributed import client, scheduler
from distributed.protocol import pickle

from dask_flows.layers import ABSENT, Layers
from dask_flows.modules import MARK, ORIGIN_PATH

# Those who took the function itself, by ``from … import dumps``.
_TAKERS: tuple[Any, ...] = (pickle, client, scheduler)
Collect = Callable[[Any], Any]
Reduce = Callable[[Any], Any]

_Cloud: Any = cloudpickle.Pickler
_Dask: Any = pickle._DaskPickler  # noqa: SLF001
_TABLE = dict(_Cloud._dispatch_table)  # noqa: SLF001


def by_value() -> AbstractContextManager[None]:
    """Pickle by value what is marked for it, while the context lasts."""
    return _installed.added({"by value": True})


def install() -> Callable[[], None]:
    """Pickle by value what is marked for it, from now on; returns what undoes it."""
    return _installed.add({"by value": True})


class _Switch:
    """Whether Dask pickles by value: once, for however many want it."""

    def __init__(self) -> None:
        self._undo: Callable[[], None] | None = None

    def read(self, _: str) -> Any:
        """Return whether it is on."""
        return ABSENT if self._undo is None else True

    def write(self, _: str, value: Any) -> None:
        """Turn it on or off."""
        if value is not ABSENT and self._undo is None:
            self._undo = _change()
        elif value is ABSENT and self._undo is not None:
            undo, self._undo = self._undo, None
            undo()


_switch = _Switch()
_installed = Layers(_switch.read, _switch.write)


def _change() -> Callable[[], None]:
    original, restore = pickle.dumps, cloudpickle._class_setstate  # noqa: SLF001
    changed = _preferring_value(original)
    for module in _TAKERS:
        module.dumps = changed
    cloudpickle._class_setstate = _sparing_own(restore)  # noqa: SLF001 - there is no hook

    def undo() -> None:
        cloudpickle._class_setstate = restore  # noqa: SLF001
        for module in _TAKERS:
            module.dumps = original

    return undo


def _preferring_value(original: Callable[..., Any]) -> Callable[..., Any]:
    def dumps(
        x: Any, *, buffer_callback: Callable[[Any], Any] | None = None, protocol: int | None = None
    ) -> Any:
        if not cloudpickle._PICKLE_BY_VALUE_MODULES:  # noqa: SLF001 - the public way copies it
            return original(x, buffer_callback=buffer_callback, protocol=protocol)
        for otherwise in (None, _by_dask):
            buffers: list[Any] = []
            file = io.BytesIO()
            collect = None if buffer_callback is None else buffers.append
            try:
                _pickler(file, protocol or pickle.HIGHEST_PROTOCOL, collect, otherwise).dump(x)
            except Exception:  # noqa: BLE001, S112 - a user's object may raise anything; others try
                continue
            if buffer_callback is not None:
                for buffer in buffers:
                    buffer_callback(buffer)
            return file.getvalue()
        return original(x, buffer_callback=buffer_callback, protocol=protocol)

    return dumps


class _Pickler(python_pickle.Pickler):
    """Python's pickler, which may have attributes."""


def _pickler(
    file: io.BytesIO, protocol: int, collect: Collect | None, otherwise: Reduce | None
) -> _Pickler:
    """Return Python's pickler with cloudpickle's treatment of functions, classes and modules."""
    pickler: Any = _Pickler(file, protocol, buffer_callback=collect)
    # cloudpickle's own table is a ChainMap, which is slow for all that is not in it.
    pickler.dispatch_table = {**copyreg.dispatch_table, **_TABLE}
    # Not a method: it is called for each object, and this is its fastest form.
    pickler.reducer_override = _reducer(otherwise)
    made: _Pickler = pickler
    return made


def _reducer(otherwise: Reduce | None) -> Reduce:
    """Return what reduces functions and classes; ``otherwise`` does it for other objects."""
    functions, others = _Functions(), set()

    def reduce(obj: Any) -> Any:
        kind = type(obj)
        if kind in others:
            return NotImplemented
        if kind is FunctionType:
            if cloudpickle._should_pickle_by_reference(obj):  # noqa: SLF001
                return NotImplemented
            return _Cloud._dynamic_function_reduce(functions, obj)  # noqa: SLF001
        if issubclass(kind, type):
            return cloudpickle._class_reduce(obj)  # noqa: SLF001
        if otherwise is not None:
            return otherwise(obj)
        others.add(kind)
        return NotImplemented

    return reduce


class _Functions:
    """What cloudpickle's treatment of functions needs of a pickler."""

    def __init__(self) -> None:
        self.globals_ref: dict[int, Any] = {}  # functions of one module share their globals

    def _function_getnewargs(self, func: Any) -> Any:
        """Tell with a function which run's modules it may import later; cloudpickle calls this."""
        arguments = _Cloud._function_getnewargs(self, func)  # noqa: SLF001
        token, known = func.__globals__.get(MARK), arguments[1]
        if token is not None:
            # cloudpickle hands on few names when a scheduler pickles the function again: this is one.
            path = known.get("__path__")
            kept = list(path) if isinstance(path, list) else []
            if ORIGIN_PATH + token not in kept:
                known["__path__"] = [*kept, ORIGIN_PATH + token]
        return arguments


def _by_dask(obj: Any) -> Any:
    """Reduce with Dask's own serializers what neither Python nor cloudpickle can."""
    return _Dask.reducer_override(None, obj)


def _sparing_own(restore: Callable[..., Any]) -> Callable[..., Any]:
    """Keep classes of modules that are imported here: a result would bring copies of their methods."""

    @functools.wraps(restore)
    def set_state(obj: Any, state: Any) -> Any:
        module = sys.modules.get(getattr(obj, "__module__", ""))
        if module is not None and getattr(module, MARK, None) is not None:
            found: Any = module
            for part in obj.__qualname__.split("."):
                found = getattr(found, part, None)
            if found is obj:
                return obj
        return restore(obj, state)

    return set_state

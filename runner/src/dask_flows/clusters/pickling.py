"""Let modules that are registered to travel by value do so in whole graphs, too.

``distributed`` pickles with Python's own pickle first and takes cloudpickle only if that fails or if the
object itself, not something inside it, belongs to a registered module. A graph that merely refers to such
a module would leave by reference, and fail on a worker that does not have it. So a pickle that names a
registered module is made again by cloudpickle.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cloudpickle
from distributed import client, scheduler
from distributed.protocol import pickle

# Those who took the function itself, by ``from … import dumps``.
_TAKERS: tuple[Any, ...] = (pickle, client, scheduler)


@contextmanager
def by_value() -> Iterator[None]:
    """Pickle by value what is registered for it, while the context lasts."""
    original = pickle.dumps
    changed = _preferring_value(original)
    for module in _TAKERS:
        module.dumps = changed
    try:
        yield
    finally:
        for module in _TAKERS:
            module.dumps = original


def _preferring_value(original: Callable[..., Any]) -> Callable[..., Any]:
    def dumps(
        x: Any, *, buffer_callback: Callable[[Any], Any] | None = None, protocol: int | None = None
    ) -> Any:
        options = {"protocol": protocol or pickle.HIGHEST_PROTOCOL}
        buffers: list[Any] = []
        collect = None if buffer_callback is None else buffers.append
        result = original(x, buffer_callback=collect, **options)
        if _names_registered(result):
            buffers.clear()
            # A chance hit costs a second pickling, nothing else.
            result = cloudpickle.dumps(x, buffer_callback=collect, **options)
        if buffer_callback is not None:
            for buffer in buffers:
                buffer_callback(buffer)
        return result

    return dumps


def _names_registered(pickled: bytes) -> bool:
    return any(name.encode() in pickled for name in cloudpickle.list_registry_pickle_by_value())

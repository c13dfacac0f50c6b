"""Bring a flow's result home: futures are gathered, collections computed, NumPy's numbers made Python's.

They may be anywhere in lists, tuples, sets, dictionaries and dataclasses. The result keeps its shape.
"""

import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dask.base import is_dask_collection
from distributed import Future, futures_of, wait

# distributed is typed in part
_futures_in: Callable[[Any], list[Any]] = futures_of
_settled: Callable[[list[Any]], Any] = wait

ROUNDS = 10  # a task may return futures again, but not for ever


def bring_home(result: Any, client: Any) -> Any:
    """Return the result without futures and collections. What their tasks raise is raised."""
    for _ in range(ROUNDS):
        found = _pending(result)
        if not found:
            break
        for _, held in _by_client(_held(found), client):
            _settled(held)
        futures = _started(found, client)
        values: dict[int, Any] = {}
        for owner, own in _by_client(futures, client):
            values.update(zip(map(id, own), owner.gather(own), strict=True))
        result = _put(result, found, [values[id(future)] for future in futures])
    return plain(result)


async def bring_home_async(result: Any, client: Any) -> Any:
    """Do the same with an asynchronous client, while it is there: without it its futures are lost."""
    for _ in range(ROUNDS):
        found = _pending(result)
        if not found:
            break
        for _, held in _by_client(_held(found), client):
            waiting = _settled(held)
            if inspect.isawaitable(waiting):
                await waiting
        futures = _started(found, client)
        values: dict[int, Any] = {}
        for owner, own in _by_client(futures, client):
            gathered = owner.gather(own)
            gathered = await gathered if inspect.isawaitable(gathered) else gathered
            values.update(zip(map(id, own), gathered, strict=True))
        result = _put(result, found, [values[id(future)] for future in futures])
    return plain(result)


def is_collection(value: Any) -> bool:
    """Whether it is a Dask collection, delayed values included."""
    try:
        return bool(is_dask_collection(value))
    except Exception:  # noqa: BLE001 - a flow may return any object
        return False


def plain(value: Any) -> Any:
    """Return numbers of NumPy and pandas as Python's own, also inside lists and dictionaries."""
    try:
        return _plain(value)
    except Exception:  # noqa: BLE001 - a flow may return any object, also one that holds itself
        return value


def _plain(value: Any) -> Any:
    if type(value) in (bool, int, float, str, type(None)):
        return value
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(one) for one in value)
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        return value.item()
    return value


def _held(found: Sequence[Any]) -> list[Any]:
    """Return what persisted collections hold: a scheduler under load may not know of it yet.

    It takes graphs in threads, so the second may overtake the first, and then has "lost dependencies".
    """
    rested = (future for one in found if not isinstance(one, Future) for future in _futures_in(one))
    return [future for future in rested if getattr(future, "client", None) is not None]


def _started(found: Sequence[Any], client: Any) -> list[Any]:
    """Return a future for each: collections begin to be computed, all together."""
    collections = [one for one in found if not isinstance(one, Future)]
    begun = iter(client.compute(collections) if collections else ())
    return [one if isinstance(one, Future) else next(begun) for one in found]


def _by_client(futures: Sequence[Any], client: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Only the client that made a future knows it: a flow may have clients of its own."""
    owners: dict[int, tuple[Any, list[Any]]] = {}
    for future in futures:
        owner = getattr(future, "client", None) or client
        owners.setdefault(id(owner), (owner, []))[1].append(future)
    yield from owners.values()


def _pending(result: Any) -> list[Any]:
    """Return the futures and collections in a result, each once."""
    found: dict[int, Any] = {}

    def note(leaf: Any) -> Any:
        # A future without a client, as in the graph of a persisted collection, cannot be asked for.
        bound = getattr(leaf, "client", None) is not None if isinstance(leaf, Future) else True
        if bound and (isinstance(leaf, Future) or is_collection(leaf)):
            found[id(leaf)] = leaf
        return leaf

    try:
        _mapped(result, note, {})
    except Exception:  # noqa: BLE001 - a flow may return any object: then it stays as it is
        return []
    return list(found.values())


def _put(result: Any, found: Sequence[Any], values: Sequence[Any]) -> Any:
    by_id = {id(one): value for one, value in zip(found, values, strict=True)}
    return _mapped(result, lambda leaf: by_id.get(id(leaf), leaf), {})


def _mapped(value: Any, change: Callable[[Any], Any], seen: dict[int, Any]) -> Any:
    """Change the leaves; containers in which nothing changes stay the same objects."""
    if id(value) in seen:  # what holds itself stays as it is
        return seen[id(value)]
    kind = type(value)
    if isinstance(value, dict):
        seen[id(value)] = value
        items = {key: _mapped(one, change, seen) for key, one in value.items()}
        new = value if all(items[key] is value[key] for key in items) else _filled(value, items)
    elif kind in (list, tuple, set, frozenset) or _is_named_tuple(value):
        seen[id(value)] = value
        parts = [_mapped(one, change, seen) for one in value]
        same = all(new is old for new, old in zip(parts, value, strict=True))
        new = value if same else _sequence(kind, parts)
    elif (
        dataclasses.is_dataclass(value) and not isinstance(value, type) and not is_collection(value)
    ):
        seen[id(value)] = value
        new = _mapped_fields(value, change, seen)
    else:
        return change(value)
    seen[id(value)] = new
    return new


def _sequence(kind: Any, parts: list[Any]) -> Any:
    if hasattr(kind, "_fields"):
        return kind(*parts)
    try:
        return kind(parts)
    except TypeError:  # what a future in a set holds may be a list
        return parts


def _mapped_fields(value: Any, change: Callable[[Any], Any], seen: dict[int, Any]) -> Any:
    fields = {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    changed = {
        name: new for name, old in fields.items() if (new := _mapped(old, change, seen)) is not old
    }
    if not changed:
        return value
    twin = copy.copy(value)  # not replace(): its class may check what it is made of
    for name, new in changed.items():
        object.__setattr__(twin, name, new)
    return twin


def _filled(value: Any, items: Any) -> Any:
    try:
        twin = copy.copy(value)  # keeps a defaultdict one
        twin.update(items)
    except Exception:  # noqa: BLE001 - a dictionary's class may do as it likes
        return items
    return twin


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(type(value), "_fields")

"""Make of a JSON value what an annotation says: a date of a text, a dataclass of a mapping.

Annotations that are not known here are the flow's own affair: their values are passed as they are.
"""

import enum
import inspect
import json
import types
from collections import abc
from collections.abc import Callable
from decimal import Decimal
from pathlib import PurePath
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
)

from dask_flows.flows import scalars
from dask_flows.flows.faults import Misfit, every, misfit, named, refused, short
from dask_flows.flows.records import is_record, record

_TRANSPARENT = (Annotated, ClassVar, Final, Required, NotRequired)
_LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection)
_SETS = (set, frozenset, abc.Set, abc.MutableSet)
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)
_JSON = (bool, int, float, str, list, dict, type(None))
_DEEPEST = 20  # an alias may name itself


def convert(value: Any, hint: Any, at: str) -> Any:
    """Return the value as the annotation wants it; ``at`` is its path for messages. Raises Misfit."""
    if type(value) not in _JSON:  # it comes from Python, as what it is
        return value
    hint = bare(hint)
    origin = get_origin(hint) or hint
    take = _taker(origin)
    return take(value, hint, at) if take else _object(value, origin, at)


def bare(hint: Any) -> Any:
    """Return the type itself, without ``Annotated``, ``NewType`` and aliases around it."""
    for _ in range(_DEEPEST):
        if get_origin(hint) in _TRANSPARENT:
            hint = get_args(hint)[0]
        elif not inspect.isclass(hint) and hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        else:
            return hint
    return Any


def _one_of(value: Any, hint: Any, at: str) -> Any:
    """Keep what is of one of the types already, else take the first that fits."""
    members = get_args(hint)
    if any(type(value) is bare(one) for one in members):
        return value
    faults: list[Misfit] = []
    for one in sorted(members, key=lambda one: not _is_known(bare(one))):
        try:
            return convert(value, one, at)
        except Misfit as fault:
            faults.append(fault)
    plainly = refused(value, at)
    inside = [fault for fault in faults if not fault.faults[0].startswith(plainly)]
    if len(inside) == 1:  # it is like this one, and what is wrong inside says more
        raise inside[0]
    raise misfit(value, hint, at)


def _is_known(hint: Any) -> bool:
    """Whether a value could be refused for this annotation."""
    origin = get_origin(hint) or hint
    if _taker(origin) is not None:
        return True
    return inspect.isclass(origin) and (
        issubclass(origin, PurePath | enum.Enum) or is_record(origin)
    )


def _null(value: Any, hint: Any, at: str) -> Any:
    if value is None:
        return None
    raise misfit(value, hint, at)


def _list(value: Any, hint: Any, at: str) -> Any:
    origin = get_origin(hint) or hint
    if not isinstance(value, list):
        raise misfit(value, hint, at)
    (of,) = get_args(hint)[:1] or (Any,)
    items = every(_later(one, of, f"{at}[{n}]") for n, one in enumerate(value))
    if origin in _LISTS:
        return items
    try:
        return frozenset(items) if origin is frozenset else set(items)
    except TypeError:
        raise Misfit(f"{at} holds lists or mappings, which a set cannot") from None


def _tuple(value: Any, hint: Any, at: str) -> Any:
    if not isinstance(value, list):
        raise misfit(value, hint, at)
    hints = get_args(hint)
    if not hints and hint not in (tuple, get_origin(hint)):  # tuple[()]
        hints = ()
    elif not hints or hints[-1] is Ellipsis:
        hints = (hints[0] if hints else Any,) * len(value)
    if len(hints) != len(value):
        raise Misfit(f"{at} has {len(value)} values, not the {len(hints)} of {named(hint)}")
    pairs = enumerate(zip(value, hints, strict=True))
    return tuple(every(_later(one, of, f"{at}[{n}]") for n, (one, of) in pairs))


def _mapping(value: Any, hint: Any, at: str) -> Any:
    if not isinstance(value, dict):
        raise misfit(value, hint, at)
    of_key, of_value = (*get_args(hint), Any, Any)[:2]
    keys = every(_later_key(key, of_key, f"key {short(key)} of {at}") for key in value)
    values = every(_later(one, of_value, f"{at}[{short(key)}]") for key, one in value.items())
    return dict(zip(keys, values, strict=True))


def _later(value: Any, hint: Any, at: str) -> Callable[[], Any]:
    return lambda: convert(value, hint, at)


def _later_key(key: Any, hint: Any, at: str) -> Callable[[], Any]:
    """JSON has text for keys only: ``{"1": …}`` fits ``dict[int, …]``."""

    def converted() -> Any:
        try:
            return convert(key, hint, at)
        except Misfit as wrong:
            try:
                return convert(json.loads(key), hint, at)
            except (Misfit, TypeError, ValueError):
                raise wrong from None

    return converted


def _object(value: Any, wanted: Any, at: str) -> Any:
    if not inspect.isclass(wanted):
        return value
    if issubclass(wanted, enum.Enum):
        return scalars.member(value, wanted, at)
    if issubclass(wanted, PurePath):
        return scalars.path(value, wanted, at)
    return record(value, wanted, at, convert) if is_record(wanted) else value


_TAKERS: dict[Any, Callable[[Any, Any, str], Any]] = {
    Union: _one_of,
    types.UnionType: _one_of,
    Literal: scalars.literal,
    None: _null,
    type(None): _null,
    tuple: _tuple,
    Decimal: scalars.decimal,
    **dict.fromkeys(scalars.PLAIN, scalars.plain),
    **dict.fromkeys(scalars.FROM_TEXT, scalars.of_text),
    **dict.fromkeys((*_LISTS, *_SETS), _list),
    **dict.fromkeys(_MAPPINGS, _mapping),
}


def _taker(origin: Any) -> Callable[[Any, Any, str], Any] | None:
    try:
        return _TAKERS.get(origin)
    except TypeError:  # an annotation may be any object
        return None

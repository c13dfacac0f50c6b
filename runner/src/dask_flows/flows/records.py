"""Make objects of JSON mappings: dataclasses, named tuples, TypedDicts and pydantic models."""

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NotRequired, get_origin, is_typeddict

from dask_flows.flows.faults import Misfit, every, misfit
from dask_flows.flows.hints import hints_of

Convert = Callable[[Any, Any, str], Any]  # value, annotation, path: what makes the fields' values


def is_record(hint: Any) -> bool:
    """Whether an annotation is a class with named fields that is known here."""
    return inspect.isclass(hint) and (
        dataclasses.is_dataclass(hint)
        or is_typeddict(hint)
        or _is_named_tuple(hint)
        or _is_model(hint)
    )


def record(value: Any, wanted: Any, at: str, convert: Convert) -> Any:
    """Return an object of a mapping; raises Misfit with the path of every fault."""
    if isinstance(value, list) and _is_named_tuple(wanted):
        if len(value) > len(wanted._fields):
            raise Misfit(f"{at} has {len(value)} values, {wanted.__name__} {len(wanted._fields)}")
        value = dict(zip(wanted._fields, value, strict=False))
    if not isinstance(value, dict):
        raise misfit(value, f"a mapping for {wanted.__name__}", at)
    if _is_model(wanted):
        return _made(lambda: wanted.model_validate(value), at)
    if is_typeddict(wanted):
        return _fields(value, hints_of(wanted), _required(wanted), at, convert)
    return _constructed(value, wanted, at, convert)


def near(name: Any, names: Iterable[str]) -> str:
    """Return ``, but other`` for a name that was probably meant, else nothing."""
    found = difflib.get_close_matches(str(name), list(names), n=1)
    return f", but {found[0]}" if found else ""


def _is_named_tuple(hint: Any) -> bool:
    return issubclass(hint, tuple) and isinstance(getattr(hint, "_fields", None), tuple)


def _is_model(hint: Any) -> bool:
    """Whether it is a pydantic model; pydantic itself is not needed for that."""
    return hasattr(hint, "__pydantic_validator__") and callable(
        getattr(hint, "model_validate", None)
    )


def _required(wanted: Any) -> set[str]:
    # With ``from __future__ import annotations`` Python counts a NotRequired in text as required.
    hints = hints_of(wanted)
    loose = {name for name, hint in hints.items() if get_origin(hint) is NotRequired}
    return set(wanted.__required_keys__) - loose


def _constructed(value: Mapping[str, Any], wanted: Any, at: str, convert: Convert) -> Any:
    parameters = inspect.signature(wanted).parameters.values()
    known = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    hints = hints_of(wanted)
    required = {p.name for p in known if p.default is p.empty}
    types = {p.name: _type_of(hints.get(p.name, Any)) for p in known}
    fields = _fields(value, types, required, at, convert)
    return _made(lambda: wanted(**fields), at)


def _type_of(hint: Any) -> Any:
    return hint.type if isinstance(hint, dataclasses.InitVar) else hint


def _fields(
    value: Mapping[str, Any],
    types: Mapping[str, Any],
    required: set[str],
    at: str,
    convert: Convert,
) -> dict[str, Any]:
    faults = [f"there is no {at}.{name}{near(name, types)}" for name in value if name not in types]
    faults += [f"{at}.{name} is missing" for name in types if name in required - set(value)]
    known = [name for name in value if name in types]
    try:
        made = every(_later(convert, value[name], types[name], f"{at}.{name}") for name in known)
    except Misfit as wrong:
        faults += wrong.faults
    if faults:
        raise Misfit(*faults)
    return dict(zip(known, made, strict=True))


def _later(convert: Convert, value: Any, hint: Any, at: str) -> Callable[[], Any]:
    return lambda: convert(value, hint, at)


def _made(make: Callable[[], Any], at: str) -> Any:
    """Make the object; what its class refuses is a fault of the value."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - a class may refuse values as it likes
        raise Misfit(*_reasons(error, at)) from None


def _reasons(error: Exception, at: str) -> list[str]:
    try:
        listed: Any = error.errors(include_url=False)  # type: ignore[attr-defined] # pydantic's
        return [f"{at}{_path(one['loc'])}: {one['msg']}" for one in listed]
    except Exception:  # noqa: BLE001 - any other class of error
        return [f"{at} is refused: {type(error).__name__}: {error}"]


def _path(place: Iterable[Any]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)

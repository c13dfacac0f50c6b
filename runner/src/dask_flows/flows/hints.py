"""What a flow's annotations mean, each for itself: one that cannot be resolved spoils no other."""

import inspect
import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from dask_flows.flows.callables import underlying

# ``if TYPE_CHECKING: from distributed import Client`` leaves nothing but the text.
_CLIENT_TEXT = re.compile(r"(Optional\[)?((dask\.)?distributed\.)?Client\]?")


def hints_of(function: Any) -> dict[str, Any]:
    """Return the annotations of a function or class; texts that mean nothing at run time stay texts."""
    inner = underlying(function)
    if inspect.isclass(inner):
        return _of_class(inner)
    return _resolved(getattr(inner, "__annotations__", {}), getattr(inner, "__globals__", {}))


def is_client(hint: Any) -> bool:
    """Whether the annotation is ``distributed.Client``, alone or as one of a union."""
    if isinstance(hint, str):
        return any(_CLIENT_TEXT.fullmatch(part.strip()) for part in hint.split("|"))
    if get_origin(hint) is Annotated:
        return is_client(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return any(is_client(one) for one in get_args(hint))
    if not inspect.isclass(hint):
        return False
    return any(
        c.__module__ == "distributed.client" and c.__name__ == "Client" for c in hint.__mro__
    )


def _of_class(found: type) -> dict[str, Any]:
    try:
        return get_type_hints(found, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations may name what is not there at run time
        merged: dict[str, Any] = {}
        for base in reversed(found.__mro__):
            names = vars(inspect.getmodule(base) or types.ModuleType("nowhere"))
            merged |= _resolved(vars(base).get("__annotations__", {}), names)
        return merged


def _resolved(annotations: Any, names: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(annotations, Mapping):
        return {}
    return {name: _resolve(hint, names) for name, hint in annotations.items()}


def _resolve(hint: Any, names: Mapping[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"it": hint})
    try:
        return get_type_hints(holder, globalns=dict(names), include_extras=True)["it"]
    except Exception:  # noqa: BLE001 - annotations may name what is not there at run time
        return hint

"""Check parameters against a flow's signature, all faults in one message."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from dask_flows.errors import BadParameters

# What JSON can hold, by the plain annotations that say so; others are the flow's own business.
_KINDS: dict[Any, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (int, float),
    str: (str,),
    list: (list,),
    dict: (dict,),
}


def bind(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments to call a flow with; raises BadParameters."""
    signature = inspect.signature(function)
    named = {
        name: parameter
        for name, parameter in signature.parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    injected = {name for name in named if is_client(_annotation(function, name))}
    anything = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    faults = [
        f"{name}: only by position" for name, p in named.items() if p.kind is p.POSITIONAL_ONLY
    ]
    if not anything:
        faults += [_unknown(name, named) for name in given if name not in named]
    for name, parameter in named.items():
        if name in given:
            faults += _wrong_kind(name, given[name], _annotation(function, name))
        elif parameter.default is parameter.empty and name not in injected:
            faults.append(f"{name}: missing")
    if faults:
        wanted = ", ".join(str(p) for n, p in signature.parameters.items() if n not in injected)
        raise BadParameters(
            "; ".join(faults), where=f"{function.__name__}({wanted})", do="pass -p name=value"
        )
    return dict(given)


def client_parameters(function: Callable[..., Any]) -> list[str]:
    """Return the parameters that are annotated ``distributed.Client``: they receive the client."""
    return [
        name
        for name in inspect.signature(function).parameters
        if is_client(_annotation(function, name))
    ]


def is_client(annotation: Any) -> bool:
    """Whether an annotation, or its text, means ``distributed.Client``."""
    if isinstance(annotation, str):
        return annotation in ("Client", "distributed.Client", "dask.distributed.Client")
    return (
        getattr(annotation, "__name__", "") == "Client"
        and getattr(annotation, "__module__", "").partition(".")[0] == "distributed"
    )


def _annotation(function: Callable[..., Any], name: str) -> Any:
    return getattr(function, "__annotations__", {}).get(name)


def _unknown(name: str, named: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, named, n=1)
    return f"{name}: unknown{f', did you mean {near[0]}?' if near else ''}"


def _wrong_kind(name: str, value: Any, annotation: Any) -> list[str]:
    kinds = _KINDS.get(annotation)
    if kinds is None:
        return []
    fits = isinstance(value, kinds) and (annotation is bool or not isinstance(value, bool))
    return [] if fits else [f"{name}: {value!r} is not {annotation.__name__}"]

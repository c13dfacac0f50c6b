"""Check parameters against a flow's signature: all faults in one message, before anything runs."""

import difflib
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

from dask_flows.errors import BadFlow, BadParameters
from dask_flows.flows.names import kind

# What JSON can hold. Other annotations are the flow's own affair and are not checked.
_CHECKED = (bool, int, float, str, list, dict, tuple, type(None))
_GIVEN_BY_CALLER = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def bind(
    reference: str, function: Callable[..., Any], parameters: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments, and the names of parameters that take the run's Dask client.

    Raises BadParameters with all faults, BadFlow for a signature that cannot be called by name.
    """
    signature = _signature(reference, function)
    hints = _hints(function)
    clients = [name for name in signature.parameters if _is_client(hints.get(name))]
    named = {
        name: parameter
        for name, parameter in signature.parameters.items()
        if parameter.kind in _GIVEN_BY_CALLER and name not in clients
    }
    _refuse_positional(reference, signature)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    faults = [
        *_unknown(parameters, named, clients, open_ended=open_ended),
        *_missing(parameters, named),
        *_mistyped(parameters, named, hints),
    ]
    if faults:
        raise BadParameters("; ".join(faults), where=reference, do=_usage(named))
    return dict(parameters), clients


def _signature(reference: str, function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise BadFlow(
            f"the flow's signature cannot be read: {error}",
            where=reference,
            do="name a function written in Python",
        ) from None


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(inspect.unwrap(function))
    except Exception:  # noqa: BLE001 - annotations may name what is not there at run time
        return {}


def _is_client(hint: Any) -> bool:
    """Whether the annotation is ``distributed.Client``, alone or as one of a union."""
    if get_origin(hint) in (Union, types.UnionType):
        return any(_is_client(one) for one in get_args(hint))
    if not inspect.isclass(hint):
        return False
    return any(
        c.__module__ == "distributed.client" and c.__name__ == "Client" for c in hint.__mro__
    )


def _refuse_positional(reference: str, signature: inspect.Signature) -> None:
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.POSITIONAL_ONLY and parameter.default is parameter.empty:
            raise BadFlow(
                f"the flow's parameter {name!r} cannot be given by name",
                where=reference,
                do="remove the / from its signature",
            )


def _unknown(
    given: Mapping[str, Any], named: Mapping[str, Any], clients: list[str], *, open_ended: bool
) -> list[str]:
    faults = [f"{name} is filled in by dask-flows" for name in given if name in clients]
    if open_ended:
        return faults
    for name in given:
        if name in named or name in clients:
            continue
        near = difflib.get_close_matches(name, named, n=1)
        faults.append(f"there is no parameter {name}" + (f", but {near[0]}" if near else ""))
    return faults


def _missing(given: Mapping[str, Any], named: Mapping[str, inspect.Parameter]) -> list[str]:
    return [
        f"{name} is missing"
        for name, parameter in named.items()
        if name not in given and parameter.default is parameter.empty
    ]


def _mistyped(
    given: Mapping[str, Any], named: Mapping[str, Any], hints: Mapping[str, Any]
) -> list[str]:
    return [
        f"{name} is {kind(value)} ({_short(value)}), not {_name(hints[name])}"
        for name, value in given.items()
        if name in named and name in hints and not fits(value, hints[name])
    ]


def fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value fits an annotation; True where that cannot be known."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in get_args(hint))
    wanted = origin if origin is not None else hint
    if wanted not in _CHECKED:
        return True
    if isinstance(value, bool):
        return wanted is bool
    if wanted is float:
        return isinstance(value, int | float)
    if wanted is tuple:
        return isinstance(value, list | tuple)
    return isinstance(value, wanted)


def _name(hint: Any) -> str:
    if inspect.isclass(hint) and get_origin(hint) is None:
        return "null" if hint is type(None) else hint.__name__
    return str(hint).replace("typing.", "")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"  # noqa: PLR2004


def _usage(named: Mapping[str, inspect.Parameter]) -> str:
    if not named:
        return "the flow takes no parameters"
    return f"it takes {', '.join(_show(name, p) for name, p in named.items())}"


def _show(name: str, parameter: inspect.Parameter) -> str:
    return name if parameter.default is parameter.empty else f"{name}={parameter.default!r}"

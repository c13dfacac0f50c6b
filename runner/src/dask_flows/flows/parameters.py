"""Check parameters against a flow's signature: all faults in one message, before anything runs."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from dask_flows.errors import BadFlow, BadParameters
from dask_flows.flows.callables import check_callable, is_delayed
from dask_flows.flows.convert import convert
from dask_flows.flows.faults import Misfit
from dask_flows.flows.hints import hints_of, is_client
from dask_flows.flows.records import near
from dask_flows.masking import MASK, Secrets, is_secret

_GIVEN_BY_CALLER = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
LONGEST_DEFAULT = 60  # characters


def bind(
    reference: str,
    function: Callable[..., Any],
    parameters: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments, and the names of parameters that take the run's Dask client.

    ``texts`` are values as they were typed: ``01234`` and ``true`` are text where the flow wants text.
    Raises BadParameters with all faults, BadFlow for a signature that cannot be called by name.
    """
    check_callable(reference, function)
    signature = _signature(reference, function)
    hints = hints_of(function)
    clients = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind not in _VARIADIC and is_client(hints.get(name))
    ]
    named = {
        name: parameter
        for name, parameter in signature.parameters.items()
        if parameter.kind in _GIVEN_BY_CALLER and name not in clients
    }
    _refuse_signature(reference, function, signature, clients)
    rest = next((p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)
    faults = [
        *_unknown(parameters, named, clients, open_ended=rest is not None),
        *_missing(parameters, named),
    ]
    arguments = {}
    for name, value in parameters.items():
        hint = hints.get(name if name in named or rest is None else rest.name, Any)
        try:
            arguments[name] = _converted(value, (texts or {}).get(name), hint, str(name))
        except Misfit as wrong:
            faults += wrong.faults
    if faults:
        secrets = Secrets.of(parameters)  # a class of the flow's may quote what it refuses
        told = "; ".join(map(secrets.values_out, faults))
        raise BadParameters(told, where=reference, do=_usage(named))
    return arguments, clients


def _converted(value: Any, text: str | None, hint: Any, name: str) -> Any:
    """Take the value; where only the text that was typed fits, take that."""
    try:
        return convert(value, hint, name)
    except Misfit as wrong:
        if text is None or text == value:
            raise
        try:
            return convert(text, hint, name)
        except Misfit:
            raise wrong from None
    except RecursionError:
        raise Misfit(f"{name} is nested too deeply") from None
    except Exception:  # noqa: BLE001 - an annotation may be any object: then it is not checked
        return value


def _signature(reference: str, function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except Exception as error:  # noqa: BLE001 - a flow may be any object
        raise BadFlow(
            f"the flow's signature cannot be read: {error}",
            where=reference,
            do="name a function written in Python",
        ) from None


def _refuse_signature(
    reference: str, function: Any, signature: inspect.Signature, clients: list[str]
) -> None:
    for name, parameter in signature.parameters.items():
        by_position = parameter.kind is parameter.POSITIONAL_ONLY
        if by_position and (parameter.default is parameter.empty or name in clients):
            raise BadFlow(
                f"the flow's parameter {name!r} cannot be given by name",
                where=reference,
                do="remove the / from its signature",
            )
    if clients and is_delayed(function):
        raise BadFlow(
            f"the flow is a delayed function: its parameter {clients[0]!r} cannot travel to a worker",
            where=reference,
            do="call get_client() inside, or remove @dask.delayed",
        )


def _unknown(
    given: Mapping[str, Any], named: Mapping[str, Any], clients: list[str], *, open_ended: bool
) -> list[str]:
    faults = [f"{name} is filled in by dask-flows" for name in given if name in clients]
    if open_ended:
        return faults
    unknown = (name for name in given if name not in named and name not in clients)
    return [*faults, *(f"there is no parameter {name}{near(name, named)}" for name in unknown)]


def _missing(given: Mapping[str, Any], named: Mapping[str, inspect.Parameter]) -> list[str]:
    return [
        f"{name} is missing"
        for name, parameter in named.items()
        if name not in given and parameter.default is parameter.empty
    ]


def _usage(named: Mapping[str, inspect.Parameter]) -> str:
    if not named:
        return "the flow takes no parameters"
    return f"it takes {', '.join(_show(name, p) for name, p in named.items())}"


def _show(name: str, parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return name
    if is_secret(name) and parameter.default not in (None, ""):
        return f"{name}={MASK}"
    try:
        shown = Secrets().text(repr(parameter.default))
    except Exception:  # noqa: BLE001 - a default may be any object
        shown = "…"
    short = shown if len(shown) <= LONGEST_DEFAULT else f"{shown[: LONGEST_DEFAULT - 1]}…"
    return f"{name}={short}"

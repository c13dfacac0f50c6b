"""What kind of callable a flow is: plain, async, or one that calling would not run."""

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from dask_flows.errors import BadFlow


def check_callable(reference: str, found: Any) -> None:
    """Raise BadFlow for what can be called, but would not run as a flow."""
    inner = underlying(found)
    if inspect.isclass(found):
        raise BadFlow(
            "the flow is a class: calling it would only make an object",
            where=reference,
            do="name a function, or make the object in the module and name its method",
        )
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise BadFlow(
            "the flow is a generator: calling it would run nothing",
            where=reference,
            do="return a value instead of yielding, or write a function that consumes it",
        )
    if is_delayed(found) and not hasattr(found, "__wrapped__"):
        raise BadFlow(
            "the flow is a delayed value, not a function",
            where=reference,
            do="write a function that returns it",
        )
    if _lacks_object(found):
        raise BadFlow(
            f"the flow is a method of {found.__qualname__.rpartition('.')[0]} without an object",
            where=reference,
            do="make the object in the module and name its method, like job.run, or add @staticmethod",
        )


def underlying(function: Any) -> Any:
    """Return the function that does the work: without partials, decorators and callable objects."""
    seen: set[int] = set()
    while id(function) not in seen:
        seen.add(id(function))
        if isinstance(function, functools.partial | functools.partialmethod):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif not inspect.isclass(function) and _wrapped(function) is not None:
            function = _wrapped(function)
        elif _has_own_call(function):
            function = type(function).__call__
    return function


def is_async(function: Any) -> bool:
    """Whether an async function does the work, perhaps below decorators that are not async."""
    return inspect.iscoroutinefunction(underlying(function))


def is_delayed(value: Any) -> bool:
    """Whether it is of ``dask.delayed``: a function that only notes its call, or the note."""
    return any(
        c.__module__ == "dask.delayed" and c.__name__ == "Delayed" for c in type(value).__mro__
    )


def _wrapped(function: Any) -> Callable[..., Any] | None:
    try:
        inner = inspect.getattr_static(function, "__wrapped__", None)
        return None if inner is None else getattr(function, "__wrapped__", None)
    except Exception:  # noqa: BLE001 - a flow may be any object
        return None


def _has_own_call(function: Any) -> bool:
    """Whether it is an object of a class that says how it is called."""
    if isinstance(function, type) or inspect.isroutine(function):
        return False
    return isinstance(inspect.getattr_static(type(function), "__call__", None), FunctionType)


def _lacks_object(found: Any) -> bool:
    """Whether it is a plain method of a class: ``Job.run`` instead of ``job.run``."""
    if not inspect.isfunction(found) or "." not in found.__qualname__.rpartition("<locals>")[
        2
    ].strip("."):
        return False
    return found.__code__.co_varnames[: found.__code__.co_argcount][:1] == ("self",)

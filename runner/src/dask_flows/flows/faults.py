"""Say what does not fit: a JSON value, where it is, and what was wanted."""

import inspect
import json
import types
from collections.abc import Callable, Iterable
from typing import Any, Union, get_args, get_origin

LONGEST_SHOWN = 40  # characters of a value in a message


class Misfit(Exception):
    """A value does not fit; ``faults`` has one line for each thing that is wrong."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        super().__init__(*faults)


def misfit(value: Any, wanted: Any, at: str) -> Misfit:
    """Return the fault of a value that is of another type; ``wanted`` is a type or words."""
    return Misfit(
        f"{at} is {said(value)}, not {wanted if isinstance(wanted, str) else named(wanted)}"
    )


def said(value: Any) -> str:
    """Tell a JSON value in words."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    kind = {str: "text", int: "the number", float: "the number", list: "a list", dict: "a mapping"}
    word = kind.get(type(value), f"a {type(value).__name__}")
    shown = short(value)
    return f"{word} {shown}" if word == "the number" else f"{word} ({shown})"


def short(value: Any) -> str:
    """Write a value as JSON, not too long."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def named(hint: Any) -> str:
    """Write an annotation as its author did."""
    if hint is None or hint is type(None):
        return "null"
    if inspect.isclass(hint) and get_origin(hint) is None:
        return hint.__name__
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(named(one) for one in get_args(hint))
    return str(hint).replace("typing.", "")


def every(parts: Iterable[Callable[[], Any]]) -> list[Any]:
    """Return all results; raises one Misfit with the faults of all."""
    results: list[Any] = []
    faults: list[str] = []
    for part in parts:
        try:
            results.append(part())
        except Misfit as one:
            faults.extend(one.faults)
    if faults:
        raise Misfit(*faults)
    return results

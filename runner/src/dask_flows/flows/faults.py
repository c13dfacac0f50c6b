"""Say what does not fit: a JSON value, where it is, and what was wanted."""

import inspect
import json
import re
import types
from collections.abc import Callable, Iterable
from typing import Any, Union, get_args, get_origin

from dask_flows.masking import Secrets, is_secret

LONGEST_SHOWN = 40  # characters of a value in a message
_PARTS = re.compile(r"[^\w-]+")
_OF_KEY = re.compile(r"^key .* of (?=\S+$)")


class Misfit(Exception):
    """A value does not fit; ``faults`` has one line for each thing that is wrong."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        super().__init__(*faults)


def misfit(value: Any, wanted: Any, at: str) -> Misfit:
    """Return the fault of a value that is of another type; ``wanted`` is a type or words."""
    return Misfit(f"{refused(value, at)}{wanted if isinstance(wanted, str) else named(wanted)}")


def refused(value: Any, at: str) -> str:
    """Begin the fault of a value that is of another type; a secret is not quoted."""
    return f"{at} is {said(value, hidden=is_hidden(at))}, not "


def is_hidden(at: str) -> bool:
    """Whether a part of a value's path is called like a secret."""
    return any(map(is_secret, _PARTS.split(_OF_KEY.sub("", at))))


def said(value: Any, *, hidden: bool = False) -> str:
    """Tell a JSON value in words; of a hidden one only what it is."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    kind = {str: "text", int: "the number", float: "the number", list: "a list", dict: "a mapping"}
    word = kind.get(type(value), f"a {type(value).__name__}")
    if hidden:
        return "a number" if word == "the number" else word
    shown = short(Secrets().data(value) if type(value) in (str, list, dict) else value)
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

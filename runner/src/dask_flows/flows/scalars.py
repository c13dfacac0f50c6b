"""Single values: JSON's own, and dates, decimals and choices, for which it has no word.

Each takes value, annotation and path, and raises Misfit.
"""

import enum
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import PurePath
from typing import Any, get_args
from uuid import UUID

from dask_flows.flows.faults import Misfit, misfit, named, short

PLAIN = (bool, int, float, str)
FROM_TEXT: dict[Any, Callable[[str], Any]] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    UUID: UUID,
}


def literal(value: Any, hint: Any, at: str) -> Any:
    """Return the one of the choices that is meant, an enumeration's also by its name."""
    choices = get_args(hint)
    for choice in choices:
        given = choice.value if isinstance(choice, enum.Enum) else choice
        if (type(value) is type(given) and value == given) or (
            isinstance(choice, enum.Enum) and value == choice.name
        ):
            return choice
    shown = [short(c.value if isinstance(c, enum.Enum) else c) for c in choices]
    raise misfit(value, f"one of {', '.join(shown)}", at)


def plain(value: Any, wanted: Any, at: str) -> Any:
    """Return what JSON has a word for; a whole number is a float, too."""
    if wanted is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise Misfit(f"{at} is too large for float") from None
    if isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool):
        return value
    raise misfit(value, wanted, at)


def of_text(value: Any, wanted: Any, at: str) -> Any:
    """Return a date, a time or a UUID of its text."""
    like = {datetime: "2026-01-31T12:00:00", date: "2026-01-31", time: "12:00:00"}.get(wanted)
    if isinstance(value, str):
        try:
            return FROM_TEXT[wanted](value)
        except ValueError:
            pass
    raise misfit(value, f"{named(wanted)} like {like}" if like else wanted, at)


def decimal(value: Any, hint: Any, at: str) -> Any:
    """Return a decimal of a text or a number, finite only."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            read = Decimal(str(value))
        except ArithmeticError:
            read = Decimal("NaN")
        if read.is_finite():
            return read
    raise misfit(value, hint, at)


def member(value: Any, wanted: type[enum.Enum], at: str) -> Any:
    """Return the member of an enumeration, by value, else by name."""
    members = wanted.__members__
    for one in members.values():
        if type(one.value) is type(value) and one.value == value:
            return one
    if isinstance(value, str) and value in members:
        return members[value]
    raise misfit(value, f"one of {', '.join(members)}", at)


def path(value: Any, wanted: type[PurePath], at: str) -> Any:
    """Return a path of its text."""
    if isinstance(value, str):
        return wanted(value)
    raise misfit(value, "a path", at)

"""Mask a whole record, right before it is written."""

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from dask_flows.masking import Secrets
from dask_flows.report.model import Failure, Phase, Record, Run, Task

LONGEST_TEXT = (
    300  # characters of a key or a message; cut here, as half a secret is not known for one
)
WITHHELD = "Dask's own report is left out: it would show what is masked here."
_DATA = re.compile(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', re.DOTALL)
_FIXED = {"kind", "mode", "outcome", "reason", "start", "finish", "versions"}  # words of our own
_OWN = "./profile?key=@name"  # a link in every page of Dask's: the name of a column
T = TypeVar("T")


def hide(record: Record, secrets: Secrets) -> Record:
    """Return the record without secrets in any of its texts."""
    return _hidden(record, secrets)


def reveals(page: str, secrets: Secrets) -> bool:
    """Whether a page of Dask's own shows a secret; one that cannot be read is taken to."""
    try:
        found = [json.loads(html.unescape(data)) for data in _DATA.findall(page)]
        return not found or any(secrets.text(one) != one for one in _texts(found) if one != _OWN)
    except (ValueError, RecursionError):
        return True


def _hidden(value: T, secrets: Secrets) -> T:
    told: Any = value
    if isinstance(value, str):
        told = secrets.text(value)
    elif isinstance(value, tuple):
        told = tuple(_hidden(each, secrets) for each in value)
    elif isinstance(value, Mapping):
        told = _renamed(value, secrets)
    elif is_dataclass(value) and not isinstance(value, type | Phase):
        kept = {each.name: getattr(value, each.name) for each in fields(value)}
        changed = {
            name: secrets.data(each)
            if isinstance(value, Run) and name in ("parameters", "result")
            else _cut(_hidden(each, secrets), value)
            for name, each in kept.items()
            if not (isinstance(value, Run) and name in _FIXED)
        }
        told = replace(value, **changed)
    return told  # type: ignore[no-any-return]  # of the same type


def _cut(value: Any, of: Any) -> Any:
    return (
        value[:LONGEST_TEXT] if isinstance(value, str) and isinstance(of, Task | Failure) else value
    )


def _renamed(series: Mapping[str, Any], secrets: Secrets) -> dict[str, Any]:
    """Mask names; two that are the same then stay two."""
    told: dict[str, Any] = {}
    for key, each in series.items():
        name = once = secrets.text(str(key))
        number = 1
        while name in told:
            number += 1
            name = f"{once} ({number})"
        told[name] = _hidden(each, secrets)
    return told


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)

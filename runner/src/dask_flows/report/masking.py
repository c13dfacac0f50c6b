"""Keep what looks like a secret out of a report."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

MASK = "***"
DEEPEST = 20
_SECRET = re.compile(
    r"pass(wor)?d|passphrase|passwd|pwd|token|secret|credential|api_?key|(^|[_\-.])keys?$"
    r"|(^|[_\-.])auth(entication|orization)?$",
    re.IGNORECASE,
)
_FLAG = re.compile(r"(--?[\w.-]+)=(.*)", re.DOTALL)
_ADDRESS = re.compile(r"(?<=://)[^/\s@:]*:[^/\s@]*(?=@)")


def mask(value: Any, name: str = "", depth: int = 0) -> Any:
    """Return JSON data with the values of secret-looking names replaced, at any depth."""
    if _SECRET.search(name) and value not in (None, "", True, False):
        return MASK
    if depth > DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): mask(each, str(key), depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [mask(each, "", depth + 1) for each in value]
    if isinstance(value, str):
        return _ADDRESS.sub(MASK, value)
    return value if value is None or isinstance(value, int | float | bool) else repr(value)


def mask_words(words: Sequence[str]) -> list[str]:
    """Return a command line without the values of secret-looking options."""
    kept: list[str] = []
    hide = False
    for word in words:
        pair = _FLAG.fullmatch(word)
        if hide:
            kept.append(MASK)
        elif pair is not None and _SECRET.search(pair[1]):
            kept.append(f"{pair[1]}={MASK}")
        else:
            kept.append(_ADDRESS.sub(MASK, word))
        hide = not hide and pair is None and word.startswith("-") and bool(_SECRET.search(word))
    return kept

"""Keep what looks like a secret out of what people read.

A secret is known by the name in front of it, by its place in an address or a header, or because it is the
value of a parameter with such a name: then it is found wherever it occurs.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
DEEPEST = 20
SHORTEST = 4  # characters of a value that is looked for everywhere; shorter ones are in every text
_SECRET = re.compile(
    r"pass(wor)?d|passphrase|passwd|pwd|token|secret|credential|api_?key|(^|[_\-.])keys?$"
    r"|(^|[_\-.])auth(entication|orization)?$",
    re.IGNORECASE,
)
_FLAG = re.compile(r"(-{0,2}[\w.][\w.-]*)=(.*)", re.DOTALL)
_USER = ("-u", "--user", "--proxy-user")  # curl's, with user:password behind it

# Bounds keep a strange text from taking long. A password may hold an @ or a slash; a port is none.
_ADDRESS = re.compile(
    r"(?<=://)(?:[^/\s@:]{0,200}:(?!\d+/)([^\s\"'<>]{0,2000})(?=@)"
    r"|[^/\s@:\[]{1,200}:(?!\d+\b|[{%*])([^/\s@\"'<>]{1,2000})$)"
)
_HEADER = re.compile(
    r"([\w-]{0,50}auth(?:entication|orization)?(?:\\*[\"'])?[ \t]*[:=][ \t]*(?:\\*[\"'])?(?:[a-z]{1,20}[ \t]+)?)"
    r"[^\s\"',;]+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(bearer[ \t]+)[\w.~+/=-]{8,}", re.IGNORECASE)
_LOGIN = re.compile(
    r"(?<!\S)((?:-u|--user|--proxy-user)[ \t=]*\\*[\"']?)[^\s:\"'-][^\s:\"']{0,200}:[^\s\"']+"
)
_PAIR = re.compile(
    r"(?<![\w.-])([\w.-]{1,100})((?:\\*[\"'])?[ \t]*(?:=(?!=)|:(?!:|//))[ \t]*)"
    r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|(?:\\*[\"'])?[^\s&;,\"'<>(){}\[\]]+)"
)
_NO_SECRETS = ("true", "false", "none", "null", "bearer", "basic", "digest")


def is_secret(name: str) -> bool:
    """Whether what is called like this is not to be shown."""
    return bool(_SECRET.search(name))


class Secrets:
    """The secrets of one run, and what they look like in general."""

    def __init__(self, values: Collection[str] = ()) -> None:
        known = {each for value in values if len(value) >= SHORTEST for each in _written(value)}
        # The longest first: one may be a part of another.
        ordered = sorted(known, key=lambda value: (-len(value), value))
        self._values = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    @classmethod
    def of(cls, parameters: Mapping[str, Any], command: Sequence[str] = ()) -> "Secrets":
        """Return the secrets among parameters and in a command line."""
        return cls({*_values(parameters), *_hidden(command)})

    def text(self, said: str) -> str:
        """Return a text without them."""
        said = _ADDRESS.sub(MASK, self.values_out(said))
        said = _HEADER.sub(rf"\g<1>{MASK}", said)
        said = _BEARER.sub(rf"\g<1>{MASK}", said)
        said = _LOGIN.sub(rf"\g<1>{MASK}", said)
        return _PAIR.sub(_pair, said)

    def values_out(self, said: str) -> str:
        """Return a text without the values that are known to be secrets."""
        return said if self._values is None else self._values.sub(MASK, said)

    def data(self, value: Any, name: str = "", depth: int = 0) -> Any:
        """Return JSON data without them, at any depth; what has a secret name is one."""
        if _hides(name, value):
            return MASK
        if depth > DEEPEST:
            return "…"
        if isinstance(value, Mapping):
            return {
                self.text(str(key)): self.data(each, str(key), depth + 1)
                for key, each in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.data(each, "", depth + 1) for each in value]
        return self._plain(value)

    def words(self, words: Sequence[str]) -> list[str]:
        """Return a command line without them."""
        return [MASK if hidden == word else self._word(word) for word, hidden in _looked(words)]

    def _plain(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            hidden = self._values is not None and self._values.fullmatch(str(value))
            return MASK if hidden else value
        return self.text(value if isinstance(value, str) else repr(value))

    def _word(self, word: str) -> str:
        pair = _FLAG.fullmatch(word)
        return f"{pair[1]}={MASK}" if pair and _hides(pair[1], pair[2]) else self.text(word)


def _hides(name: str, value: Any) -> bool:
    return is_secret(name) and value not in (None, "", True, False)


def _pair(found: re.Match[str]) -> str:
    name, sign, value = found.groups()
    if not is_secret(name) or MASK in value or value.strip("\\\"'").lower() in _NO_SECRETS:
        return found[0]
    opening = re.match(r"\\*[\"']?", value)
    before = opening[0] if opening is not None else ""
    if before and len(value) > len(before) and value.endswith(before):
        closing = before
    else:
        closing = value[len(value.rstrip("\\")) :]  # of the quote behind it
    return f"{name}{sign}{before}{MASK}{closing}"


def _values(value: Any, name: str = "", depth: int = 0, *, hidden: bool = False) -> Iterator[str]:
    """Return what is below secret names, and the passwords of addresses."""
    hidden = hidden or is_secret(name)
    if depth > DEEPEST:
        return
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _values(each, str(key), depth + 1, hidden=hidden)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _values(each, "", depth + 1, hidden=hidden)
    elif isinstance(value, str):
        if hidden:
            yield value
        yield from (password for found in _ADDRESS.findall(value) for password in found)
    elif hidden and isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _hidden(words: Sequence[str]) -> Iterator[str]:
    for word, hidden in _looked(words):
        if hidden:
            yield hidden
        yield from (password for found in _ADDRESS.findall(word) for password in found)


def _looked(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return each word of a command line with the secret in it."""
    before = ""
    for word in words:
        pair = _FLAG.fullmatch(word)
        if (before.startswith("-") and is_secret(before)) or (before in _USER and ":" in word):
            yield word, word
            before = ""
            continue
        yield word, pair[2] if pair is not None and _hides(pair[1], pair[2]) else ""
        before = word if pair is None else ""


def _written(value: str) -> set[str]:
    """Return a text as it may stand in others: in JSON, in Python, in an address."""
    as_json = (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    return {value, *as_json, repr(value)[1:-1], quote(value), quote(value, ""), quote_plus(value)}

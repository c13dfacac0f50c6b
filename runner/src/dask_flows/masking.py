"""Keep what looks like a secret out of what people read.

A secret is known by the name in front of it, by its place in an address or a header, or because it is the
value of a parameter with such a name: then it is found wherever it occurs.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
_QUOTED = r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
# Of Python, with an annotation perhaps; of JSON, also in a text of JSON; of YAML, with its blocks of lines.
_NAMED = re.compile(
    r"(?<![\w.-])(?P<name>[\w.-]{1,100})(?:\\*[\"'])?[ \t]*"
    r"(?:(?::[ \t]*[\w.]{1,40}(?:\[[\w., |]{0,40}\])?[ \t]*)?=(?!=)|:(?!:|//))[ \t]*"
)
_VALUE = re.compile(
    rf"(?:[\w.]{{1,50}}\([ \t]*)?[bBrRuU]{{0,2}}{_QUOTED}|\\+\"[^\"\\]*\\+\"|\\+'[^'\\]*\\+'"
    r"|[\[{](?=[^\[\]{}]{0,2000}[\"'])[^\[\]{}]{0,2000}[\]}]"
    r"|[|>][-+\d]{0,2}[ \t]*(?:\n[ \t]+[^\n]{1,500}){1,60}"
    r"|(?:\\*[\"'])?[^\s&;,\"'<>(){}\[\]]+"
)
# An option and its value in a list, a name and its value in a tuple.
_LISTED = re.compile(
    r"(?P<open>\(?)(?P<before>[bBuU]?([\"'])(?P<name>[\w.-]{1,100})\3,[ \t]*[bBuU]?)"
    rf"(?P<value>{_QUOTED})(?P<close>\)?)"
)
_OPENING = re.compile(r"(?:[\w.]+\([ \t]*)?[bBrRuU]{0,2}(\\*[\"'])")
_MANY = re.compile("tokens", re.IGNORECASE)
_NUMBER = re.compile(r"\d[\d_.]*")
_Mask = Callable[[str, re.Match[str]], tuple[str, int] | None]
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
        return _masked(_NAMED, _named, _masked(_LISTED, _listed, said))

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
    if value in (None, "", True, False) or _counts(name, value):
        return False
    return is_secret(name)


def _counts(name: str, value: Any) -> bool:
    """Whether this is how many tokens there are."""
    number = isinstance(value, int | float) or (
        isinstance(value, str) and _NUMBER.fullmatch(value) is not None
    )
    return number and _MANY.search(name) is not None and not is_secret(_MANY.sub("", name))


def _masked(pattern: re.Pattern[str], mask: _Mask, said: str) -> str:
    """Replace what ``mask`` has a text for, up to where it says; what follows any other name is looked at."""
    parts, done, position = [], 0, 0
    while found := pattern.search(said, position):
        hidden = mask(said, found)
        if hidden is None:
            position = found.end("name")
            continue
        parts += [said[done : found.start()], hidden[0]]
        done = position = hidden[1]
    return "".join((*parts, said[done:]))


def _named(said: str, found: re.Match[str]) -> tuple[str, int] | None:
    name = found["name"]
    whole = _VALUE.match(said, found.end()) if is_secret(name) else None
    if whole is None:
        return None
    value, bare = whole[0], whole[0].strip("\\\"'")
    seen = MASK in value and value[0] not in "[{|>"  # which may hold others, too
    if not _hides(name, bare) or seen or bare.lower() in _NO_SECRETS:
        return None
    opening = _OPENING.match(value)
    before, quote = (opening[0], opening[1]) if opening is not None else ("", "")
    if quote and len(value) > len(before) and value.endswith(quote):
        closing = quote
    else:
        closing = value[len(value.rstrip("\\")) :]  # of the quote behind it
    return f"{found[0]}{before}{MASK}{closing}", whole.end()


def _listed(_: str, found: re.Match[str]) -> tuple[str, int] | None:
    name, value = found["name"], found["value"]
    of_name = name.startswith("-") or (found["open"] and found["close"])
    if not of_name or not _hides(name, value[1:-1]) or MASK in value or value[1:3] == "--":
        return None
    text = f"{found['open']}{found['before']}{value[0]}{MASK}{value[-1]}{found['close']}"
    return text, found.end()


def _values(value: Any, name: str = "", depth: int = 0, *, hidden: bool = False) -> Iterator[str]:
    """Return what is below secret names, and the passwords of addresses."""
    hidden = hidden or (is_secret(name) and not _counts(name, value))
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
        if (before.startswith("-") and _hides(before, word)) or (before in _USER and ":" in word):
            yield word, word
            before = ""
            continue
        yield word, pair[2] if pair is not None and _hides(pair[1], pair[2]) else ""
        before = word if pair is None else ""


def _written(value: str) -> set[str]:
    """Return a text as it may stand in others: in JSON, in Python, in an address."""
    as_json = (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    return {value, *as_json, repr(value)[1:-1], quote(value), quote(value, ""), quote_plus(value)}

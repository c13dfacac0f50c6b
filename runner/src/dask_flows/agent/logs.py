"""The agent's log: one line per fact, in one format, as text or JSON.

Who logs writes ``log.info("swept run=%s objects=%d", name, count)``: words first, then ``key=%…`` pairs.
The formatters here take that apart again, so quoting is right whatever a value holds, and a line of the
libraries looks like one of ours. Values of parameters and of Secrets have no place in a log line; what
looks like one in a text that comes from elsewhere, an error for instance, is masked.
"""

import json
import logging
import re
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from dask_flows.masking import Secrets

TEXT, JSON = "text", "json"
FORMATS = (TEXT, JSON)
LONGEST = 4000  # characters of one value
_PAIR = re.compile(r"(?:^|\s)([A-Za-z_]\w*)=(%[-#0 +]*\d*(?:\.\d+)?[a-z])(\S*)")
_PLACES = re.compile(r"%[^%\s]*?[a-zA-Z]")
_PLAIN = re.compile(r"[^\s\"=\\\x00-\x1f\x7f]+")
_WORD = re.compile(r"[\w.-]{0,100}")
_SECRETS = Secrets()


def log_to_stderr(level: str, kind: str = TEXT) -> None:
    """Send every log line of this process to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if kind == JSON else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return json.dumps({**_head(record), **facts(record), **_error(self, record)}, default=str)


class TextFormatter(logging.Formatter):
    """``key=value`` pairs; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        pairs = {**_head(record), **facts(record)}
        line = " ".join(f"{key}={quoted(value)}" for key, value in pairs.items())
        trace = _error(self, record).get("exception")
        return f"{line}\n{trace}" if trace else line


def facts(record: logging.LogRecord) -> dict[str, Any]:
    """Return the message without its pairs as ``msg``, and the pairs."""
    args = record.args
    words, places, pairs = _taken_apart(str(record.msg))
    if not pairs or not isinstance(args, tuple) or len(args) != places + len(pairs):
        return {"msg": _safe(record.getMessage())}
    found: dict[str, Any] = {"msg": _safe(words % args[:places])}
    for (key, place, unit), value in zip(pairs, args[places:], strict=True):
        if value != "":  # what is not known has no place
            found[key] = _value(place, unit, value)
    return found


def quoted(value: Any) -> str:
    """Write a value so that a reader of ``key=value`` finds its end."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


@lru_cache(256)
def _taken_apart(template: str) -> tuple[str, int, tuple[tuple[str, str, str], ...]]:
    """Return the words of a message, the number of values in them, and its pairs."""
    pairs = list(_PAIR.finditer(template))
    words = template[: pairs[0].start()] if pairs else template
    return words, len(_PLACES.findall(words)), tuple((p[1], p[2], p[3]) for p in pairs)


def _value(place: str, unit: str, value: Any) -> Any:
    """Return a number as a number, anything else as the text that its place asks for."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and place == "%d" and not unit else _safe(place % (value,) + unit)


def _safe(text: str) -> str:
    if _WORD.fullmatch(text):
        return text  # most values are names and numbers
    short = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return _SECRETS.text(short)


def _head(record: logging.LogRecord) -> dict[str, str]:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return {
        "time": f"{moment}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name.removeprefix("dask_flows."),
    }


def _error(formatter: logging.Formatter, record: logging.LogRecord) -> Mapping[str, str]:
    if not record.exc_info:
        return {}
    return {"exception": _SECRETS.text(formatter.formatException(record.exc_info))}

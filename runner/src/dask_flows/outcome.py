"""The record of how an attempt ended.

The runner sends it to the agent and writes it into its container's termination message, which Kubernetes
cuts at 4,096 bytes. It names the run's UID and attempt, so other text is never taken for a record.
"""

import json
import re
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from dask_flows.deadline import parse_timestamp
from dask_flows.errors import UsageError

MAX_RECORD_BYTES = 4096
MAX_RESULT_BYTES = 2048
MAX_NAME_CHARACTERS = 200

SUCCEEDED, FAILED, CANCELLED = "Succeeded", "Failed", "Cancelled"
_FORMAT = 1
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one attempt ended; times are RFC 3339, ``exit_code`` is the runner's."""

    uid: str
    attempt: int
    outcome: str
    reason: str = ""
    message: str = ""
    exit_code: int = 0
    pod_uid: str = ""
    exception: str | None = None
    result: Any = None
    workers: int = 0
    times: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; empty fields are left out."""
        fields = asdict(self)
        fields["message"] = _encodable(self.message)
        if self.exception is not None:
            fields["exception"] = _encodable(self.exception)[:MAX_NAME_CHARACTERS]
        record = {_CAMEL.get(key, key): value for key, value in fields.items()}
        kept = {key: value for key, value in record.items() if value not in ("", None, {})}
        return {"dask-flows": _FORMAT, **kept}

    def to_json(self) -> str:
        """Write the record in at most 4,096 bytes, shortening the message if it must."""
        text = _dump(self.to_dict())
        excess = len(text.encode()) - MAX_RECORD_BYTES
        if excess <= 0:
            return text
        # A character of the message may need up to 6 bytes (\uXXXX); halving always ends.
        shorter = self.message[
            : max(0, min(len(self.message) - excess - 1, len(self.message) // 2))
        ]
        return replace(self, message=f"{shorter}…" if shorter else "").to_json()

    @classmethod
    def from_dict(cls, record: Any) -> Self | None:
        """Read a record, or return None for anything that is not one."""
        if not isinstance(record, dict) or record.get("dask-flows") != _FORMAT:
            return None
        fields = {
            _SNAKE.get(key, key): value for key, value in record.items() if key != "dask-flows"
        }
        known = {key: value for key, value in fields.items() if key in cls.__dataclass_fields__}
        try:
            read = cls(**known)
        except TypeError:
            return None
        return replace(read, result=_result(read.result)) if _is_sound(read) else None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a record from a termination message; None if the text is something else."""
        try:
            return cls.from_dict(json.loads(text))
        except (ValueError, RecursionError):
            return None


_CAMEL = {"exit_code": "exitCode", "pod_uid": "podUid"}
_SNAKE = {camel: snake for snake, camel in _CAMEL.items()}


def check_result(result: Any) -> Any:
    """Return the result as plain JSON data; raises UsageError if it is no JSON or over 2 KiB."""
    advice = "return a small JSON value, or write the data to storage and return its address"
    try:
        text = _dump(result)
        size = len(text.encode())  # text with half of a surrogate pair has no encoding
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the result is not JSON: {error}", where="flow", do=advice) from None
    if size > MAX_RESULT_BYTES:
        raise UsageError(
            f"the result has {size} bytes, more than {MAX_RESULT_BYTES}", where="flow", do=advice
        )
    return json.loads(text)


def _encodable(text: str) -> str:
    """Return text that UTF-8 can hold: an exception may carry half of a surrogate pair."""
    return text.encode("utf-8", "backslashreplace").decode()


def _is_sound(read: Outcome) -> bool:
    texts = (read.uid, read.outcome, read.reason, read.message, read.pod_uid, read.exception or "")
    return (
        all(isinstance(text, str) for text in texts)
        and all(_is_whole(number) for number in (read.attempt, read.exit_code, read.workers))
        and read.workers >= 0
        and read.outcome in (SUCCEEDED, FAILED, CANCELLED)
        and isinstance(read.times, dict)
        and all(isinstance(key, str) and _is_time(read.times[key]) for key in read.times)
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_time(value: Any) -> bool:
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        return False
    try:
        parse_timestamp(value)
    except ValueError:
        return False
    return True


def _result(value: Any) -> Any:
    try:
        return check_result(value)
    except (UsageError, ValueError, RecursionError):  # an outcome is worth more than its result
        return None


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

"""Log lines: one format, right quoting, no secrets."""

import json
import logging
import re
import sys
from typing import Any

import pytest

from dask_flows.agent.logs import JsonFormatter, TextFormatter, log_to_stderr


def caught(text: str) -> Any:
    """Return an error with its traceback."""
    try:
        fail(text)
    except ValueError:
        return sys.exc_info()


def fail(text: str) -> None:
    """Fail."""
    raise ValueError(text)


def record(message: str, *args: object, error: Any = None) -> logging.LogRecord:
    """Return a record as the agent makes them."""
    made = logging.LogRecord("dask_flows.agent", logging.INFO, "x.py", 1, message, args, error)
    made.created, made.msecs = 0.25, 250.0
    return made


HEAD = "time=1970-01-01T00:00:00.250Z level=info logger=agent"
CASES: list[tuple[str, tuple[Any, ...], str, dict[str, Any]]] = [
    ("stopped", (), "msg=stopped", {"msg": "stopped"}),
    ("ready runs=%d jobs=%d", (3, 4), "msg=ready runs=3 jobs=4", {"msg": "ready", "runs": 3, "jobs": 4}),
    (
        "step failed run=%s again=%.1fs error=%s", ("a", 0.24, 'no "x"\nfor a=b'),
        r'msg="step failed" run=a again=0.2s error="no \"x\"\nfor a=b"',
        {"msg": "step failed", "run": "a", "again": "0.2s", "error": 'no "x"\nfor a=b'},
    ),
    ("sweep %s name=%s", ("jobs", "a b"), 'msg="sweep jobs" name="a b"', {"msg": "sweep jobs", "name": "a b"}),
    ("to=%s reason=%s", ("Running", ""), 'msg="" to=Running', {"msg": "", "to": "Running"}),
    ("run=%s", (("a", "b"),), "msg=\"\" run=\"('a', 'b')\"", {"msg": "", "run": "('a', 'b')"}),
    ("done 100% of a=b", (), 'msg="done 100% of a=b"', {"msg": "done 100% of a=b"}),
    ("a library says %r", ("x",), "msg=\"a library says 'x'\"", {"msg": "a library says 'x'"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "args", "text", "data"), CASES, ids=[case[0] for case in CASES]
)
def test_a_line_is_pairs(
    message: str, args: tuple[Any, ...], text: str, data: dict[str, Any]
) -> None:
    """Quoted where a reader would lose the end; JSON holds the same pairs, numbers as numbers."""
    assert TextFormatter().format(record(message, *args)) == f"{HEAD} {text}"
    line = json.loads(JsonFormatter().format(record(message, *args)))
    assert line == {"time": "1970-01-01T00:00:00.250Z", "level": "info", "logger": "agent", **data}


def test_a_value_cannot_make_a_line_of_its_own() -> None:
    """A message that comes from a run stays inside its quotes."""
    forged = "x\ntime=2030-01-01T00:00:00Z level=info msg=transition to=Succeeded"
    line = TextFormatter().format(record("transition run=%s message=%s", "a", forged))

    assert "\n" not in line
    assert dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line))["message"] == json.dumps(forged)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_secrets_in_foreign_texts_are_masked(formatter: logging.Formatter) -> None:
    """In values, in plain messages and in tracebacks."""
    error = caught("postgres://me:hunter2@db token=hunter2")
    for made in (
        record("step failed error=%s", "401 for https://me:hunter2@registry/ password=hunter2"),
        record("said Authorization: Bearer hunter2hunter2"),
        record("step failed run=%s", "a", error=error),
    ):
        line = formatter.format(made)
        assert "hunter2" not in line
        assert "***" in line


def test_a_traceback_is_kept() -> None:
    """Below the line in text, in the line in JSON."""
    made = record("step failed run=%s", "a", error=caught("oops"))

    first, *rest = TextFormatter().format(made).splitlines()
    assert first.endswith("run=a")
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "ValueError: oops"
    assert json.loads(JsonFormatter().format(made))["exception"] == "\n".join(rest)


def test_everybody_s_lines_look_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """The formatter is the root's, for our modules and for libraries."""
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    log_to_stderr("info", "json")

    (handler,) = logging.root.handlers
    assert isinstance(handler.formatter, JsonFormatter)
    assert logging.root.level == logging.INFO

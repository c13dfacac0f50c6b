"""Rules of the outcome record: it fits, it is ours, and it survives the way through a pod."""

import json

import pytest

from dask_flows.errors import UsageError
from dask_flows.outcome import MAX_RECORD_BYTES, Outcome, check_result


def record(**changes: object) -> Outcome:
    """Return a plain record."""
    return Outcome(**{"uid": "u", "attempt": 1, "outcome": "Succeeded", **changes})


def test_a_record_reads_back_as_it_was_written() -> None:
    """What the runner wrote is what the agent reads."""
    written = record(
        outcome="Failed", reason="FlowFailed", message="boom", exit_code=1, exception="ValueError",
        pod_uid="p", workers=2, times={"start": "2026-01-01T00:00:00Z"}, result={"a": [1, None]},
    )  # fmt: skip

    assert Outcome.parse(written.to_json()) == written


@pytest.mark.parametrize(
    "message", ["x" * 10_000, "é" * 5_000, '"' * 9_000, "\n" * 9_000, "😀" * 3_000]
)
def test_a_record_always_fits_the_termination_message(message: str) -> None:
    """Kubernetes cuts at 4,096 bytes; a cut record could not be read."""
    text = record(message=message, result="r" * 2_000).to_json()

    assert len(text.encode()) <= MAX_RECORD_BYTES
    assert Outcome.parse(text) is not None


@pytest.mark.parametrize(
    "text",
    ["", "Traceback (most recent call last):", "{", "[]", "null", "1", "{}", '{"dask-flows": 2}',
     '{"dask-flows": 1}', '{"dask-flows": 1, "uid": "u", "attempt": "1", "outcome": "Succeeded"}',
     '{"dask-flows": 1, "uid": "u", "attempt": 1, "outcome": "Great"}'],
)  # fmt: skip
def test_other_text_is_never_taken_for_a_record(text: str) -> None:
    """A flow may write anything to its standard error."""
    assert Outcome.parse(text) is None


def test_fields_of_a_newer_runner_are_passed_over() -> None:
    """The agent may be older than the image of a run."""
    data = {**record().to_dict(), "fromTheFuture": True}

    assert Outcome.parse(json.dumps(data)) == record()


@pytest.mark.parametrize("result", [None, 9900, "text", {"a": [1, 2.5, True]}, ["é"]])
def test_small_json_is_a_result(result: object) -> None:
    """Plain JSON up to 2 KiB travels with the outcome."""
    assert check_result(result) == result


@pytest.mark.parametrize(
    "result", ["x" * 3_000, {1, 2}, float("nan"), object(), list(range(2_000))]
)
def test_large_or_foreign_results_are_refused_with_advice(result: object) -> None:
    """The advice says what to return instead."""
    with pytest.raises(UsageError, match="address"):
        check_result(result)


@pytest.mark.parametrize("text", ["half \ud800 a pair", "x" * 9_000 + "\udfff"])
def test_text_that_utf_8_cannot_hold_is_escaped(text: str) -> None:
    """An exception may say anything; the record is written all the same."""
    written = record(outcome="Failed", message=text, exception="E" * 9_000).to_json()

    assert len(written.encode()) <= MAX_RECORD_BYTES
    assert Outcome.parse(written) is not None


def deep(levels: int) -> list:
    """Return a list in a list in a list …."""
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("result", ["\ud800", deep(100_000)])
def test_results_that_cannot_be_written_are_refused(result: object) -> None:
    """Not with a traceback of ours."""
    with pytest.raises(UsageError, match="not JSON"):
        check_result(result)


@pytest.mark.parametrize(
    "bad",
    [{"message": 5}, {"reason": ["x"]}, {"exception": 1}, {"podUid": 3}, {"workers": "x"},
     {"workers": -1}, {"workers": True}, {"times": [1]}, {"times": {"running": "garbage"}},
     {"times": {"running": 5}}, {"times": {"running": "2026-01-01"}}, {"attempt": True},
     {"times": {"running": "2026-13-01T00:00:00Z"}}, {"outcome": []}],
)  # fmt: skip
def test_a_field_of_a_wrong_kind_makes_it_no_record(bad: dict[str, object]) -> None:
    """Status has a schema, and what does not fit it could never be recorded."""
    assert Outcome.parse(json.dumps({**record().to_dict(), **bad})) is None


def test_a_result_that_is_none_is_dropped() -> None:
    """How the run ended is worth more than what it returned."""
    for result in ("x" * 3_000, float("nan")):
        assert Outcome.from_dict({**record().to_dict(), "result": result}) == record()


def test_deep_nesting_is_no_record() -> None:
    """It must not stop whoever reads it."""
    assert Outcome.parse("[" * 4_000) is None

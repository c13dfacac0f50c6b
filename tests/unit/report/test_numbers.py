"""Rules of numbers for people: a unit always, three digits at most, nothing rounded to a lie."""

import pytest

from dask_flows.report.numbers import (
    count,
    counted,
    moment,
    percent,
    seconds,
    size,
    text,
    ticks,
    time_ticks,
)  # fmt: skip


@pytest.mark.parametrize(("value", "said"), [
    (0, "0 s"), (-1, "0 s"), (2e-7, "0.20 µs"), (0.0000523, "52.3 µs"), (0.0002, "200 µs"), (0.0123, "12.3 ms"),
    (0.9996, "1.00 s"), (1.5, "1.50 s"), (12.34, "12.3 s"), (59.96, "1 min"), (60, "1 min"), (200, "3 min 20 s"),
    (3600, "1 h"), (7500, "2 h 5 min"), (90000, "1 d 1 h"), (3599.7, "1 h"),
])  # fmt: skip
def test_seconds(value: float, said: str) -> None:
    """The unit fits the size."""
    assert seconds(value) == said


@pytest.mark.parametrize(("value", "said"), [
    (0, "0 B"), (999, "999 B"), (1000, "0.98 KiB"), (1024, "1 KiB"), (1.2 * 2**30, "1.20 GiB"),
    (512 * 2**20, "512 MiB"), (3 * 2**60, "3072 PiB"),
])  # fmt: skip
def test_sizes(value: float, said: str) -> None:
    """In powers of 1,024, as Kubernetes and Dask write them."""
    assert size(value) == said


@pytest.mark.parametrize(("part", "whole", "said"), [
    (1, 2, "50 %"), (0, 2, "0 %"), (2, 2, "100 %"), (1, 1000, "< 1 %"), (999, 1000, "> 99 %"), (1, 0, "none"),
])  # fmt: skip
def test_shares(part: float, whole: float, said: str) -> None:
    """What is only close to nothing or everything says so."""
    assert percent(part, whole) == said


def test_counts() -> None:
    """Thousands are apart, and one is one."""
    assert count(1234567) == "1,234,567"
    assert [counted(n, "task") for n in (0, 1, 2000)] == ["0 tasks", "1 task", "2,000 tasks"]


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0"), (0.5, "0.5 s"), (20, "20 s"), (150, "2:30"), (3905, "1:05:05")]
)
def test_moments(value: float, said: str) -> None:
    """As a stopwatch writes them."""
    assert moment(value) == said


@pytest.mark.parametrize("end", [0.001, 0.7, 1, 3.3, 17, 59, 61, 600, 5000, 86400, 1e6])
def test_ticks_are_few_round_and_reach_the_end(end: float) -> None:
    """At equal distances, from 0."""
    values = ticks(end)
    assert values[0] == 0
    assert values[-2] < end <= values[-1] * 1.001
    assert 2 <= len(values) <= 7

    times = time_ticks(end)
    assert times[0] == 0
    assert times[-1] <= end * 1.001
    assert 1 <= len(times) <= 7


@pytest.mark.parametrize(("value", "said"), [
    ("<script>alert('x')</script>", "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;"),
    ('a"b', "a&quot;b"), ("bell\x07", "bell\\x07"), ("half \ud800", "half \\ud800"),
    ("turn\u202eed", "turn\\x202eed"), ("line\nbreak", "line\nbreak"), (7, "7"),
])  # fmt: skip
def test_texts_cannot_become_markup(value: object, said: str) -> None:
    """And nothing invisible stays invisible."""
    assert text(value) == said

"""Rules of what is kept over time: nothing is lost, and nothing grows."""

import pytest

from dask_flows.clusters.timeline import REST, Samples, Timeline


def test_the_seconds_of_work_are_kept_however_often_the_buckets_double() -> None:
    """And each second is where it belongs."""
    line = Timeline(100.0, buckets=8, width=1.0)
    row = line.row("inc")
    line.add(row, 100.5, 101.25)
    line.add(row, 103.0, 103.5)
    line.add(row, 120.0, 131.0)

    assert line.width == 4.0
    assert sum(row) == pytest.approx(0.75 + 0.5 + 11.0)
    assert row[:8] == pytest.approx([1.25, 0, 0, 0, 0, 4.0, 4.0, 3.0])


def test_work_before_the_start_and_work_that_ends_before_it_begins_do_not_count() -> None:
    """A worker's clock may be wrong."""
    line = Timeline(100.0, buckets=8, width=1.0)
    row = line.row("inc")
    line.add(row, 90.0, 99.0)
    line.add(row, 99.0, 101.0)
    line.add(row, 103.5, 102.0)

    assert sum(row) == pytest.approx(1.0)


def test_a_timeline_has_room_for_so_many_series() -> None:
    """The rest is kept together."""
    line = Timeline(0.0, buckets=4, width=1.0, series=2)
    for n in range(100):
        line.add(line.row(f"name-{n}"), 0.0, 1.0)

    assert set(line.series) == {"name-0", "name-1", REST}
    assert sum(line.series[REST]) == pytest.approx(98.0)


def test_plain_data_has_no_empty_end() -> None:
    """A run of a second does not write hundreds of zeros."""
    line = Timeline(0.0, buckets=240, width=1.0)
    line.add(line.row("inc"), 2.0, 2.5)
    line.row("add")

    assert line.to_dict() == {
        "start": 0.0,
        "width": 1.0,
        "series": {"inc": [0.0, 0.0, 0.5], "add": [0.0, 0.0, 0.0]},
    }


def test_samples_become_rarer_and_keep_their_peaks() -> None:
    """However long a run is."""
    samples = Samples(rows=16)
    for second in range(10_000):
        samples.add([float(second), 999.0 if second == 4321 else 1.0])

    assert len(samples.rows) < 16
    assert max(value for _, value in samples.rows) == 999.0
    times = [at for at, _ in samples.rows]
    assert times == sorted(times)
    assert times[0] == 0.0
    assert times[-1] > 8000

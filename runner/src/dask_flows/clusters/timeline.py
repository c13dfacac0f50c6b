"""Keep what happens over time in bounded room: the longer it takes, the coarser it gets."""

from typing import Any

BUCKETS = 240
FIRST_WIDTH = 0.05  # seconds
SERIES = 60
REST = "other"
ROWS = 480


class Timeline:
    """Seconds of work in buckets of equal width, by series; the width doubles when the time is used up.

    ``start`` and all times are seconds of one clock. More series than ``series`` are kept together.
    """

    def __init__(
        self,
        start: float,
        *,
        buckets: int = BUCKETS,
        width: float = FIRST_WIDTH,
        series: int = SERIES,
    ) -> None:
        self.start, self.width = start, width
        self._buckets, self._most = buckets, series
        self.series: dict[str, list[float]] = {}

    def row(self, name: str) -> list[float]:
        """Return a series to give to ``add``; it stays the same object."""
        found = self.series.get(name)
        if found is None:
            if len(self.series) >= self._most:
                name = REST
            found = self.series.setdefault(name, [0.0] * self._buckets)
        return found

    def add(self, row: list[float], begin: float, end: float) -> None:
        """Add the time from begin to end to a series; what lies before the start does not count."""
        first, last = (begin - self.start) / self.width, (end - self.start) / self.width
        while last >= self._buckets:
            self._double()
            first, last = first / 2, last / 2
        first = max(0.0, first)
        if last <= first:
            return
        low, high = int(first), int(last)
        if low == high:
            row[low] += (last - first) * self.width
            return
        row[low] += (low + 1 - first) * self.width
        for bucket in range(low + 1, high):
            row[bucket] += self.width
        row[high] += (last - high) * self.width

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, without the empty end."""
        used = max((_used(row) for row in self.series.values()), default=0)
        return {
            "start": self.start,
            "width": self.width,
            "series": {name: row[:used] for name, row in self.series.items()},
        }

    def _double(self) -> None:
        self.width *= 2
        half = self._buckets // 2
        for row in self.series.values():
            row[:] = [*map(sum, zip(row[::2], row[1::2], strict=True)), *[0.0] * half]


class Samples:
    """Rows of numbers, the time first; when there are too many, two become one with the larger values."""

    def __init__(self, rows: int = ROWS) -> None:
        self._most = rows
        self._every, self._skipped = 1, 0
        self.rows: list[list[float]] = []

    def add(self, row: list[float]) -> None:
        """Take a row; it joins the last one if rows have become rarer."""
        if self.rows and self._skipped + 1 < self._every:
            self._skipped += 1
            self.rows[-1] = _larger(self.rows[-1], row)
            return
        self._skipped = 0
        self.rows.append(row)
        if len(self.rows) >= self._most:
            self.rows = [
                _larger(*pair) for pair in zip(self.rows[::2], self.rows[1::2], strict=True)
            ]
            self._every *= 2


def _larger(one: list[float], other: list[float]) -> list[float]:
    """Return the larger of each number, and the earlier time."""
    return [one[0], *map(max, one[1:], other[1:])]


def _used(row: list[float]) -> int:
    return next((n for n in range(len(row), 0, -1) if row[n - 1]), 0)

"""Draw: SVG whose text keeps its size at any width, because every position across is a percentage.

Colours come from the page's classes, so dark and light need no second drawing. What a mouse may ask for is
in ``<title>``, which works without a script.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import log2

from dask_flows.report.model import Phase, Sample, Timeline
from dask_flows.report.numbers import moment, percent, seconds, size, text, ticks, time_ticks

COLORS = 8  # classes c0 … c7; the rest is grey
REST = "cx"
TOP, BOTTOM, GAP = 8, 22, 2  # pixels around a plot


def color(index: int) -> str:
    """Return the class of a series."""
    return f"c{index}" if index < COLORS else REST


def phases(parts: Sequence[Phase], whole: float, names: Mapping[str, str]) -> str:
    """Draw where the time went, as one bar."""
    if whole <= 0:
        return ""
    bars = "".join(
        f'<rect x="{_at(part.start, whole)}" y="0" width="{_at(part.seconds, whole)}" height="100%" '
        f'class="p-{text(part.name)}"><title>{text(names.get(part.name, part.name))}: '
        f"{seconds(part.seconds)}</title></rect>"
        for part in parts
    )
    told = "; ".join(f"{names.get(part.name, part.name)} {seconds(part.seconds)}" for part in parts)
    return _svg("Where the time went", told, f"<g>{bars}</g>", 28, "bar")


def stacked(line: Timeline, order: Sequence[str], threads: float, end: float) -> str:
    """Draw how many threads worked on what; series in this order, the first at the bottom."""
    rows = [line.series[name] for name in order]
    length = max((len(row) for row in rows), default=0)
    if not length or end <= 0 or line.width <= 0:
        return ""
    sums = [sum(_get(row, n) for row in rows) / line.width for n in range(length)]
    scale = ticks(max(threads, *sums, 1), 4)
    height, floors, bars = 180, [0.0] * length, []
    for index, row in enumerate(rows):
        shapes = []
        for n in range(min(length, len(row))):
            if row[n] <= 0:
                continue
            tall = row[n] / line.width
            at, wide = max(0.0, line.start + n * line.width), line.width
            shapes.append(
                f"M{_x(at, end)} {_y(floors[n], scale)}V{_y(floors[n] + tall, scale)}"
                f"H{_x(min(end, at + wide), end)}V{_y(floors[n], scale)}Z"
            )
            floors[n] += tall
        bars.append(f'<path class="{color(index)}" d="{"".join(shapes)}"/>')
    limit = f'<path class="limit" d="M0 {_y(threads, scale)}H1000"/>' if threads else ""
    hover = "".join(
        _hover(line.start + n * line.width, line.width, end, _working(line, order, n))
        for n in range(length)
    )
    told = f"{', '.join(order[:COLORS])}; up to {max(sums):.1f} of {threads:g} threads at once"
    drawn = _plot("".join(bars) + limit, scale, end, height, _plain) + f"<g>{hover}</g>"
    return _svg("What ran when", told, drawn, height + TOP + BOTTOM, "plot")


def _working(line: Timeline, order: Sequence[str], n: int) -> str:
    parts = [
        f"{name} {_get(line.series[name], n) / line.width:.1f}"
        for name in order
        if _get(line.series[name], n) > 0
    ]
    return f"threads: {', '.join(parts) or 'idle'}"


def curves(
    samples: Sequence[Sample],
    fields: Sequence[tuple[str, str, str]],
    end: float,
    title: str,
    *,
    show: Callable[[float], str],
    limit: float = 0.0,
    step: bool = False,
) -> str:
    """Draw samples over time; a field is an attribute, its name for people, its class."""
    if not samples or end <= 0:
        return ""
    height = 130
    tops = [float(getattr(one, field)) for one in samples for field, _, _ in fields]
    base = (
        1024.0 ** max(0, min(4, (int(max(tops)).bit_length() - 1) // 10)) if show is size else 1.0
    )
    scale = [tick * base for tick in ticks(max(*tops, limit, 1.0 if base == 1 else base) / base, 4)]
    shapes = [
        _curve(
            [(one.at, float(getattr(one, field))) for one in samples], scale, end, kind, step=step
        )
        for field, _, kind in fields
    ]
    line = f'<path class="limit" d="M0 {_y(limit, scale)}H1000"/>' if limit else ""
    hover = "".join(
        _hover(
            one.at, (samples[n + 1].at if n + 1 < len(samples) else end) - one.at, end,
            ", ".join(f"{name} {show(getattr(one, field))}" for field, name, _ in fields),
        )
        for n, one in enumerate(samples)
    )  # fmt: skip
    most = "; ".join(
        f"{name} up to {show(max(getattr(one, field) for one in samples))}"
        for field, name, _ in fields
    )
    drawn = _plot("".join(shapes) + line, scale, end, height, show) + f"<g>{hover}</g>"
    return _svg(title, most, drawn, height + TOP + BOTTOM, "plot")


def _curve(
    points: Sequence[tuple[float, float]],
    scale: Sequence[float],
    end: float,
    kind: str,
    *,
    step: bool,
) -> str:
    whole = [*points, (end, points[-1][1])] if points[-1][0] < end else list(points)
    path = f"M{_x(whole[0][0], end)} {_y(whole[0][1], scale)}"
    for at, value in whole[1:]:
        path += (f"H{_x(at, end)}" if step else "") + (
            f"V{_y(value, scale)}" if step else f"L{_x(at, end)} {_y(value, scale)}"
        )
    area = f"{path}L{_x(whole[-1][0], end)} 1000L{_x(whole[0][0], end)} 1000Z"
    return f'<path class="area {kind}" d="{area}"/><path class="line {kind}" d="{path}"/>'


def strip(row: Sequence[float], line: Timeline, threads: int, end: float, name: str) -> str:
    """Draw how busy a worker was over time: the stronger the colour, the busier."""
    cells = "".join(
        f'<rect x="{_at(max(0.0, line.start + n * line.width), end)}" width="{_at(line.width, end)}" '
        f'y="0" height="100%" class="heat" fill-opacity="{min(1.0, value / line.width / max(1, threads)):.2f}"/>'
        for n, value in enumerate(row)
        if value > 0 and line.start + n * line.width < end
    )
    told = f"{name} computed {percent(sum(row), max(1, threads) * end)} of the time"
    return _svg("How busy", told, cells, 18, "strip")


def histogram(bins: Sequence[tuple[float, int]]) -> str:
    """Draw how many tasks took how long; each bar is twice as long as the one before."""
    if not bins:
        return ""
    powers = {round(log2(bound)): number for bound, number in bins}
    first, last = min(powers), max(powers)
    most, number = max(powers.values()), last - first + 1
    wide = min(100 / number, 12.0)
    bars = []
    for place, power in enumerate(range(first, last + 1)):
        if tall := powers.get(power, 0):
            share = max(6.0, 100 * tall / most)
            bars.append(
                f'<rect x="{place * wide:.2f}%" width="{wide * 0.86:.2f}%" y="{100 - share:.1f}%" '
                f'height="{share:.1f}%" class="c0"><title>up to {seconds(2.0**power)}: {tall:,}</title></rect>'
            )
    told = f"from {seconds(2.0 ** (first - 1))} to {seconds(2.0**last)}"
    return _svg("Durations", told, "".join(bars), 22, "tiny")


def share(part: float, whole: float, kind: str = "c0") -> str:
    """Draw a share as a thin bar; the number stands beside it."""
    wide = 100 * min(1.0, part / whole) if whole > 0 else 0
    inside = f'<rect class="{kind}" width="{max(wide, 0.5):.1f}%" height="100%" rx="2"/>'
    return f'<svg class="share" height="4" aria-hidden="true"><rect class="track" width="100%" height="100%" rx="2"/>{inside}</svg>'


def _plot(
    shapes: str, scale: Sequence[float], end: float, height: int, show: Callable[[float], str]
) -> str:
    grid = "".join(
        f'<line class="grid" x1="0" x2="100%" y1="{_pixel(tick, scale, height)}" y2="{_pixel(tick, scale, height)}"/>'
        for tick in scale
    )
    labels = "".join(
        f'<text class="tick halo" x="2" y="{_pixel(tick, scale, height) - 4}">{show(tick)}</text>'
        for tick in scale[1:]
    )
    times = time_ticks(end)
    axis = "".join(_tick(at, end, height) for at in times)
    return (
        f'{grid}<svg x="0" y="{TOP}" width="100%" height="{height}" viewBox="0 0 1000 1000" '
        f'preserveAspectRatio="none">{shapes}</svg>{labels}{axis}'
    )


def _tick(at: float, end: float, height: int) -> str:
    place = at / end
    anchor = "start" if place < 0.04 else "end" if place > 0.96 else "middle"  # noqa: PLR2004
    return f'<text class="tick" x="{_at(at, end)}" y="{TOP + height + 16}" text-anchor="{anchor}">{moment(at)}</text>'


def _hover(at: float, wide: float, end: float, told: str) -> str:
    if at >= end or wide <= 0:
        return ""
    begin = max(0.0, at)
    return (
        f'<rect class="hover" x="{_at(begin, end)}" width="{_at(min(wide, end - begin), end)}" y="0" '
        f'height="100%"><title>{moment(round(begin, 2))} · {text(told)}</title></rect>'
    )


def _svg(title: str, told: str, inside: str, height: int, kind: str) -> str:
    return (
        f'<svg class="{kind}" width="100%" height="{height}" role="img" aria-label="{text(title)}: {text(told)}">'
        f"<title>{text(title)}</title><desc>{text(told)}</desc>{inside}</svg>"
    )


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Name the colours: class and text."""
    items = "".join(
        f'<li><svg class="key" width="10" height="10" aria-hidden="true"><rect class="{kind}" width="10" '
        f'height="10" rx="2"/></svg>{text(name)}</li>'
        for kind, name in entries
    )
    return f'<ul class="legend">{items}</ul>'


def _get(row: Sequence[float], n: int) -> float:
    return row[n] if n < len(row) else 0.0


def _at(value: float, end: float) -> str:
    return f"{100 * value / end:.3f}%"


def _x(value: float, end: float) -> str:
    return f"{1000 * min(max(value, 0.0), end) / end:.1f}"


def _y(value: float, scale: Sequence[float]) -> str:
    return f"{1000 - 1000 * value / scale[-1]:.1f}"


def _pixel(value: float, scale: Sequence[float], height: int) -> float:
    return round(TOP + height * (1 - value / scale[-1]), 1)


def _plain(value: float) -> str:
    return f"{value:g}"

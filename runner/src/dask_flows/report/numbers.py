"""Numbers and texts as people read them."""

import re
from html import escape
from math import floor, log10

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# What XML and browsers refuse, and what turns the direction of text around.
_STRANGE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")


def seconds(value: float) -> str:
    """Write a duration: ``0.2 ms``, ``12.3 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if value < 0.9995:  # noqa: PLR2004
        return _small(value)
    if value < _MINUTE - 0.05:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"  # noqa: PLR2004
    whole = round(value)
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h")


def size(value: float) -> str:
    """Write a number of bytes: ``512 B``, ``1.2 GiB``."""
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:  # noqa: PLR2004
            whole = unit == "B" or value == int(value)
            return f"{value:.0f} {unit}" if whole else f"{_three(value)} {unit}"
        value /= 1024
    raise AssertionError("the last unit takes everything")


def count(value: int) -> str:
    """Write a number with thousands apart."""
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """Write ``1 task`` or ``2 tasks``."""
    return f"{count(value)} {noun}" if value == 1 else f"{count(value)} {noun}s"


def percent(part: float, whole: float) -> str:
    """Write a share: ``78 %``, and not 0 % or 100 % for what is only close to it."""
    if whole <= 0:
        return "none"
    share = 100 * part / whole
    if 0 < share < 1:
        return "< 1 %"
    if 99 < share < 100:  # noqa: PLR2004
        return "> 99 %"
    return f"{share:.0f} %"


def text(value: object) -> str:
    """Escape a text for HTML, attributes included; strange characters become visible."""
    known = str(value).encode("utf-8", "backslashreplace").decode()
    return escape(_STRANGE.sub(lambda found: f"\\x{ord(found[0]):02x}", known))


def ticks(end: float, most: int = 5) -> list[float]:
    """Return round numbers from 0 to at least ``end``, at equal distances."""
    if end <= 0:
        return [0.0, 1.0]
    rough = end / most
    power = 10.0 ** floor(log10(rough))
    step = next(power * n for n in (1, 2, 2.5, 5, 10) if power * n >= rough * 0.999)
    return [step * n for n in range(round(-(-end // step)) + 1)]


def time_ticks(end: float, most: int = 5) -> list[float]:
    """Return round moments from 0 to at most ``end`` (s), at equal distances."""
    if end <= 0:
        return [0.0]
    steps = [s * unit for unit in (1, _MINUTE, _HOUR) for s in (1, 2, 5, 10, 15, 20, 30)]
    least = end / most
    step = next((s for s in steps if s >= least), 0.0) if least >= 1 else 0.0
    found = ticks(end, most) if not step else [step * n for n in range(int(end // step) + 1)]
    return [tick for tick in found if tick <= end * 1.0001]


def moment(value: float) -> str:
    """Write a moment on a time axis: ``0``, ``0.5 s``, ``20 s``, ``2:30``, ``1:05:00``."""
    if value < _MINUTE:
        return f"{value:g} s" if value else "0"
    minutes, rest = divmod(round(value), _MINUTE)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _small(value: float) -> str:
    if value <= 0:
        return "0 s"
    return f"{_three(value * 1e6)} µs" if value < 1e-3 else f"{_three(value * 1e3)} ms"  # noqa: PLR2004


def _two(whole: int, big: int, unit: str, small: int, smaller: str) -> str:
    rest = whole % big // small
    return f"{whole // big} {unit} {rest} {smaller}" if rest else f"{whole // big} {unit}"


def _three(value: float) -> str:
    """Write three digits, or what is before the point."""
    if value >= 99.95:  # noqa: PLR2004
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"  # noqa: PLR2004

"""Shapes and their areas."""

from collections.abc import Iterable

from .circle import Circle


def total_area(radii: Iterable[float]) -> float:
    """Return the area of all circles together."""
    return sum(Circle(radius).area() for radius in radii)

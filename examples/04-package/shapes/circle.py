"""Circles."""

from dataclasses import dataclass

from .constants import PI


@dataclass
class Circle:
    """A circle; ``radius`` in metres."""

    radius: float

    def area(self) -> float:
        """Return the area in square metres."""
        return PI * self.radius**2

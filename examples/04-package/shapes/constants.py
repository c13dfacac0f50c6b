"""Numbers that never change."""

from math import pi as PI  # noqa: N812 - a constant's name

__all__ = ["PI"]

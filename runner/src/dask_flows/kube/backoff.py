"""Growing pauses with jitter, so that many clients do not come back at the same moment."""

import random


class Backoff:
    """Give the next pause in seconds: doubling from ``first`` to ``most``, half of it random."""

    def __init__(self, first: float = 0.5, most: float = 10.0) -> None:
        self._first = first
        self._most = most
        self._tries = 0

    def next(self, at_least: float | None = None) -> float:
        """Return the next pause; never less than ``at_least`` (what a server asked for)."""
        full = min(self._most, self._first * float(2**self._tries))
        self._tries = min(self._tries + 1, 16)
        pause = full * random.uniform(0.5, 1.0)  # noqa: S311 - spread, not secrecy
        return max(self._first, pause, at_least or 0.0)

    def reset(self) -> None:
        """Begin again with the shortest pause."""
        self._tries = 0

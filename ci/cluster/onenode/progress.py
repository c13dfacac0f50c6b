"""Progress lines on standard error, answers on standard output."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Print one line per step with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._start:6.1f} s] {text}", file=sys.stderr, flush=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Announce a slow step, then say how long it took."""
        self.say(f"{text} …")
        begin = time.monotonic()
        yield
        self.say(f"{text}: done in {time.monotonic() - begin:.1f} s")


def answer(text: str) -> None:
    """Print what a script would read."""
    print(text, flush=True)

"""How often an informer asks the API server."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rhythm:
    """How often to ask the API server, in seconds."""

    first_pause: float = 0.5
    longest_pause: float = 10.0
    settled: float = 5.0  # a watch that lived this long was a good one
    relist: float = 600.0
    listing: float = 300.0  # the server drops a list's snapshot after five minutes anyway
    watch: tuple[int, int] = (240, 300)  # spread, so that not all begin anew at once
    recheck: float = 60.0  # after a check that failed


USUAL = Rhythm()

"""How many workers an attempt's own cluster should have: pure rules.

- Up at once: a wish for more becomes the goal with the next beat.
- Down only when three beats in a row agree, and then to the most modest of the three.
- Never below the minimum, never above the maximum; equal bounds mean a fixed size.
- Workers are added a few at a time, with a rest in between: others have a turn meanwhile.
- First to go are pods that have not started, then workers that the scheduler calls idle. A busy worker
  is never taken; the goal waits for it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from dask_flows.agent.views import PodView
from dask_flows.agent.workqueue import CLOCK_TICK
from dask_flows.kube.errors import KubeError

AGREEMENT = 3
BURST = 2  # replacements without a pause
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0  # seconds
AT_A_TIME = 5  # workers that are added without a rest
# A cluster that has added some asks again later than one that was turned away, so that it is not always
# the same that have their turn.
ASK_AGAIN, REST = 0.2, 0.5  # seconds


@dataclass
class Goal:
    """The number of workers wanted; ``idle`` are the workers that may go."""

    minimum: int
    maximum: int
    size: int
    idle: frozenset[str] = frozenset()
    guessed: bool = False  # by an agent that has not heard a beat
    _lower: list[int] = field(default_factory=list)

    def wish(self, wanted: int, idle: Iterable[str]) -> bool:
        """Take one beat's wish; return whether there is anything new in it."""
        before, self.guessed = (self.size, self.idle, self.guessed), False
        self.idle = frozenset(idle)
        wanted = min(max(wanted, self.minimum), self.maximum)
        if wanted >= self.size:
            self._lower.clear()
            self.size = wanted
        else:
            self._lower.append(wanted)
            if len(self._lower) >= AGREEMENT:
                self.size = max(self._lower)
                self._lower.clear()
        return (self.size, self.idle, self.guessed) != before


@dataclass
class Pacing:
    """Slow down the replacing of workers that keep dying; growth is never slowed down.

    ``due`` is how many of the workers that were let through have not been added yet.
    """

    size: int
    tries: int = 0
    last: float = float("-inf")
    due: int = 0
    rested: float = float("-inf")
    failures: int = 0  # in a row: not all that were asked for could be added
    failed_at: float = float("-inf")

    def pause(self, size: int, missing: int, now: float) -> float:
        """Return how long to wait before adding workers; with 0 all that are missing are let through.

        ``now`` is monotonic.
        """
        grows, self.size = size > self.size, size
        self.due = missing if grows else min(self.due, missing)
        if self.due:
            return _worth(self.rested - now)
        if self.failures:  # they were let through before, and are not counted again
            left = _worth(self.failed_at + _grown(self.failures) - now)
            self.due = 0 if left else missing
            return left
        if now - self.last > 2 * LONGEST_PAUSE:
            self.tries = 0
        steps = self.tries - BURST
        pause = _grown(steps) if steps >= 0 else 0.0
        if (left := _worth(self.last + pause - now)) > 0:
            return left
        self.tries, self.last, self.due = min(self.tries + 1, 16), now, missing
        return 0.0

    def added(self, count: int, now: float) -> float | None:
        """Take note of workers that were added; returns when to ask again, None if none are due."""
        self.failures = 0
        self.due -= count
        self.rested = now + REST
        return REST if self.due > 0 else None

    def failed(self, error: KubeError, now: float) -> None:
        """Take note that not all could be added: that is tried again no faster than workers are replaced."""
        most = 16 if error.is_refusal else 2  # nobody tells when an outage is over
        self.failures, self.failed_at, self.due = min(self.failures + 1, most), now, 0


def _grown(steps: int) -> float:
    """Return the pause after so many steps of doubling."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * float(2**steps))


def _worth(pause: float) -> float:
    """Return a pause, 0 for one that is over before the clock has moved: it would be asked for again."""
    return pause if pause > CLOCK_TICK else 0.0


@dataclass(frozen=True)
class Growth:
    """What came of a goal; ``again`` is in seconds, None if there is no need to ask again."""

    again: float | None = None
    granted: bool = (
        True  # all is there, or what was missing was admitted; else nobody has asked this time
    )


@dataclass(frozen=True)
class Change:
    """What to do about the workers."""

    add: tuple[int, ...] = ()
    remove: tuple[str, ...] = ()


def rescale(
    workers: Collection[PodView], size: int, idle: frozenset[str], next_number: int
) -> Change:
    """Return which numbers to add and which pods to remove to come nearer to ``size``."""
    dead = [p.name for p in workers if p.ended and not p.deleting]
    alive = [p for p in workers if not p.ended and not p.deleting]
    missing = size - len(alive)
    if missing >= 0:
        return Change(tuple(range(next_number, next_number + missing)), tuple(dead))
    waiting = [p.name for p in alive if p.phase == "Pending"]
    resting = [p.name for p in alive if p.phase != "Pending" and p.name in idle]
    # The youngest go first: the older ones hold more data.
    candidates = [*reversed(waiting), *reversed(resting)]
    return Change((), (*dead, *candidates[:-missing]))

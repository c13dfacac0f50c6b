"""How many workers an attempt's own cluster should have: pure rules.

- Up at once: a wish for more becomes the goal with the next beat.
- Down only when three beats in a row agree, and then to the most modest of the three.
- Never below the minimum, never above the maximum; equal bounds mean a fixed size.
- First to go are pods that have not started, then workers that the scheduler calls idle. A busy worker
  is never taken; the goal waits for it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from dask_flows.agent.views import PodView

AGREEMENT = 3
BURST = 2  # replacements without a pause
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0  # seconds


@dataclass
class Goal:
    """The number of workers wanted; ``idle`` are the workers that may go."""

    minimum: int
    maximum: int
    size: int
    idle: frozenset[str] = frozenset()
    _lower: list[int] = field(default_factory=list)

    def wish(self, wanted: int, idle: Iterable[str]) -> bool:
        """Take one beat's wish; return whether the goal or the idle workers changed."""
        before = (self.size, self.idle)
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
        return (self.size, self.idle) != before


@dataclass
class Pacing:
    """Slow down the replacing of workers that keep dying; growth is never slowed down."""

    size: int
    tries: int = 0
    last: float = float("-inf")

    def pause(self, size: int, now: float) -> float:
        """Return how long to wait before adding workers; 0 counts as done. ``now`` is monotonic."""
        grows, self.size = size > self.size, size
        if grows:
            return 0.0
        if now - self.last > 2 * LONGEST_PAUSE:
            self.tries = 0
        steps = self.tries - BURST
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * float(2**steps)) if steps >= 0 else 0.0
        left = self.last + pause - now
        if left > 0:
            return left
        self.tries, self.last = min(self.tries + 1, 16), now
        return 0.0


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

"""Runs that wait, oldest first: a pure data structure.

Runs that are subject to the same limits share a lane, and a lane keeps its runs in order. So whoever
looks for the next run looks at the first of each lane, of which there are few, and not at all runs.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import merge
from itertools import islice

from dask_flows.config import AgentConfig


@dataclass(frozen=True, slots=True)
class Limit:
    """How many runs may be active at a time; ``most`` is None for no limit."""

    most: int | None
    path: str  # in the values
    whose: str = ""

    @property
    def text(self) -> str:
        """The limit in words."""
        runs = "run" if self.most == 1 else "runs"
        return f"at most {self.most} {runs}{self.whose} at a time ({self.path})"


Lane = tuple[Limit, ...]  # the limits of its runs, the narrowest first
Key = tuple[str, str]  # by which runs are ordered: when they were created, and the name


class Limits:
    """The limits of a release."""

    def __init__(self, config: AgentConfig) -> None:
        self.total = Limit(config.limits.most_runs, "agent.maxConcurrentRuns")
        most = config.static.most_runs if config.static else None
        self.static = Limit(most, "static.maxConcurrentRuns", " on the shared cluster")
        self._profiles = {
            name: Limit(
                profile.most_runs, f"profiles.{name}.maxConcurrentRuns", f" of profile {name}"
            )
            for name, profile in config.profiles.items()
            if profile.most_runs is not None
        }

    def lane(self, mode: str, profile: str | None) -> Lane:
        """Return the lane of runs of this mode and profile."""
        own = self._profiles.get(profile or "")
        narrow = (own,) if own else ()
        return (*narrow, self.static, self.total) if mode == "static" else (*narrow, self.total)


class Lanes:
    """The runs that wait."""

    def __init__(self) -> None:
        self._lines: dict[Lane, list[Key]] = {}
        self._of: dict[str, tuple[Lane, Key]] = {}

    def __contains__(self, name: object) -> bool:
        """Tell whether a run waits."""
        return name in self._of

    def __len__(self) -> int:
        """Count the runs that wait."""
        return len(self._of)

    def add(self, name: str, created: str, lane: Lane) -> None:
        """Let a run wait; one that waits already keeps its place."""
        if name not in self._of:
            self._of[name] = (lane, (created, name))
            insort(self._lines.setdefault(lane, []), (created, name))

    def remove(self, name: str) -> None:
        """Let a run wait no more."""
        if name in self._of:
            lane, key = self._of.pop(name)
            line = self._lines[lane]
            del line[bisect_left(line, key)]
            if not line:
                del self._lines[lane]

    def next(self, has_room: Callable[[Lane], bool]) -> str | None:
        """Return the oldest run whose lane has room."""
        heads = (line[0] for lane, line in self._lines.items() if has_room(lane))
        return min(heads, default=("", None))[1]

    def lane_of(self, name: str) -> Lane:
        """Return the lane that a run waits in; raises KeyError if it does not wait."""
        return self._of[name][0]

    def created(self, name: str) -> str:
        """Return when a run was created; raises KeyError if it does not wait."""
        return self._of[name][1][0]

    def place(self, name: str, limit: Limit) -> tuple[int, int]:
        """Return a run's place, from 1, among those that wait and are subject to a limit, and their number."""
        _, key = self._of[name]
        lines = [line for lane, line in self._lines.items() if limit in lane]
        return 1 + sum(bisect_left(line, key) for line in lines), sum(map(len, lines))

    def first(self, count: int) -> Iterable[str]:
        """Return the oldest runs that wait."""
        heads = (islice(line, count) for line in self._lines.values())
        return [name for _, name in islice(merge(*heads), count)]

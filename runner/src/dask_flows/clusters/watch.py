"""Decide from looks at a cluster whether its scheduler or its workers are lost. No clock, no network.

Time counts only as far as the watch itself ran: a look that comes late, because the flow held Python's lock
or the machine was busy, counts as the time that it should have taken.
"""

from dataclasses import dataclass, field

BUSY_SECONDS = 10.0  # a loop that has not turned for so long is worth a line; so is a silence, or a pause of ours
FEWEST_MISSES = 2  # one unanswered question proves nothing


@dataclass(frozen=True)
class Look:
    """One look: seconds since the last one, and the most that it should have taken.

    ``status`` is what Dask's client says of its connection. ``asked`` says whether the scheduler's process was
    asked for a sign of life; ``age`` is how long its loop had not turned, None without an answer.
    """

    took: float
    planned: float
    status: str = "running"
    asked: bool = False
    age: float | None = None

    @property
    def seconds(self) -> float:
        """The time that counts."""
        return min(self.took, self.planned)


@dataclass
class SchedulerWatch:
    """Tells a lost scheduler from a busy one and from a pause of our own.

    ``patience`` is how long the client may be without a connection, ``silence`` how long the process may give
    no sign of life (s); ``news`` are lines for people, to be taken away.
    """

    patience: float
    silence: float
    news: list[str] = field(default_factory=list)
    gaps: int = 0
    away: float | None = None
    silent: float = 0.0
    _misses: int = 0
    _busy: float = 0.0
    _told_silent: bool = False
    _told_pause: bool = False

    def see(self, look: Look) -> str | None:
        """Take a look; returns why the scheduler counts as lost, else None."""
        self._see_pause(look)
        return self._see_connection(look) or self._see_life(look)

    @property
    def answers(self) -> bool:
        """Whether it makes sense to ask the scheduler something."""
        return self.away is None and not self._misses and self._busy == 0

    def _see_pause(self, look: Look) -> None:
        pause = look.took - look.planned
        if pause >= BUSY_SECONDS and not self._told_pause:
            self._told_pause = True  # such flows do it again and again
            self.news.append(
                f"this process stood still for {pause:.0f} s: the flow keeps Python's lock, or the machine "
                "is too busy; nothing could be watched meanwhile"
            )

    def _see_connection(self, look: Look) -> str | None:
        if look.status == "running":
            if self.away is not None:
                self.away = None
                self._heard()  # whoever took the connection lives; it may be another scheduler
            return None
        if self.away is None:
            self.away, self.gaps = 0.0, self.gaps + 1
        else:
            self.away += look.seconds
        if look.status == "closed" or self.away >= self.patience:
            return f"the scheduler has not answered for {max(self.away, self.silent):.0f} s"
        return None

    def _see_life(self, look: Look) -> str | None:
        if look.asked and look.age is not None:
            self._hear(look.age)
            return None
        self.silent += look.seconds
        self._misses += look.asked
        if self._misses >= FEWEST_MISSES and self.silent >= self.silence:
            return f"the scheduler has given no sign of life for {self.silent:.0f} s"
        if self._misses and self.silent >= BUSY_SECONDS and not self._told_silent:
            self._told_silent = True
            self.news.append(
                f"the scheduler gives no sign of life for {self.silent:.0f} s; after {self.silence:.0f} s "
                "it counts as lost"
            )
        return None

    def _heard(self) -> None:
        if self._told_silent:
            self.news.append(f"the scheduler answers again after {self.silent:.0f} s")
        self.silent, self._misses, self._told_silent = 0.0, 0, False

    def _hear(self, age: float) -> None:
        self._heard()
        if age < 1:
            if self._busy >= BUSY_SECONDS:
                self.news.append(f"the scheduler's event loop turns again after {self._busy:.0f} s")
            self._busy = 0.0
        else:
            if self._busy < BUSY_SECONDS <= age:
                self.news.append(
                    f"the scheduler is busy: its event loop has not turned for {age:.0f} s"
                )
            self._busy = max(self._busy, age)


@dataclass
class WorkersWatch:
    """Tells when a run waits in vain for a worker; ``limit`` is how long it may (s)."""

    limit: float
    news: list[str] = field(default_factory=list)
    without: float | None = None

    def see(self, seconds: float, workers: int | None, *, waiting: bool) -> str | None:
        """Take a count, None if nobody knows; ``waiting`` says whether the run has tasks for a worker.

        Returns why the workers count as lost, else None.
        """
        if workers is None:
            return None
        if workers or not waiting:
            if self.without is not None and workers:
                count = "1 worker" if workers == 1 else f"{workers} workers"
                self.news.append(f"{count} again after {self.without:.0f} s without any")
            self.without = None
            return None
        if self.without is None:
            self.without = 0.0
            self.news.append(f"no worker is left: the run waits up to {self.limit:g} s for one")
        else:
            self.without += seconds
        if self.without >= self.limit:
            return f"tasks have waited {self.without:.0f} s for a worker, and there is none"
        return None

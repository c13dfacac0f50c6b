"""How many runs there are in each phase, and since when they wait: kept up to date change by change.

Thousands of finished runs stay in the cluster, and a scrape comes every few seconds: counting them all
each time would cost more than working on them.
"""

from collections import Counter
from datetime import datetime

from dask_flows.agent.views import RunView
from dask_flows.deadline import parse_timestamp
from dask_flows.flowrun import PENDING, FlowRun

OTHER = "Other"
# A flow may name reasons of its own: neither their number nor their size may grow without bound.
MOST_REASONS, LONGEST_REASON = 60, 40


class Words:
    """Let the first words through and call all that follow ``Other``."""

    def __init__(self, most: int = MOST_REASONS) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, word: object) -> str:
        """Return the word to show."""
        text = str(word or "")
        if text and text not in self._known:
            if len(self._known) >= self._most or not text.isalnum() or len(text) > LONGEST_REASON:
                return OTHER
            self._known.add(text)
        return text


class Tally:
    """Count FlowRuns; subscribe ``change`` to their informer."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._phases: Counter[tuple[str, str]] = Counter()
        self._waiting: dict[str, str] = {}

    def change(self, name: str, old: RunView | None, new: RunView | None) -> None:
        """Take note of one change."""
        if old is not None:
            self._add(old.run, -1)
        if new is not None:
            self._add(new.run, 1)
        since = "" if new is None or new.deleting else _waits_since(new.run)
        if since:
            self._waiting[name] = since
        else:
            self._waiting.pop(name, None)

    def phases(self) -> dict[tuple[str, str], int]:
        """Return the number of runs by phase and reason; 0 for what was there once."""
        return dict(self._phases)

    @property
    def waiting(self) -> int:
        """Count the runs that could begin if there were a place for them."""
        return len(self._waiting)

    def oldest(self, now: datetime) -> float:
        """Return for how many seconds the oldest of them has waited; 0 if none does."""
        if not self._waiting:
            return 0.0
        # All times are written alike, in UTC: the least text is the earliest time.
        return max(0.0, (now - parse_timestamp(min(self._waiting.values()))).total_seconds())

    def _add(self, run: FlowRun, count: int) -> None:
        self._phases[run.phase, self._words.of(run.status.get("reason"))] += count


def _waits_since(run: FlowRun) -> str:
    """Return since when a run has waited for a place; empty if it waits for something else, or not."""
    if run.phase != PENDING or run.spec.suspend:
        return ""
    if not run.attempt:
        return run.created
    return str(run.status.get("retryTime") or "") if run.status.get("reason") == "Queued" else ""

"""Who may be claimed: a run gets a place before its attempt begins, and keeps it until all is cleaned up.

- Places go to the oldest runs first. A run that a limit of its own holds back (its profile's, the shared
  cluster's) holds back no run that is not subject to that limit.
- The oldest are called when places are free, no more of them than there are places. A call holds its
  place until the claim is seen, so the limits hold however late the watch is.
- What is known is the cache and the calls. After a restart the cache alone is enough: claims are in status.
- A called run whose claim is refused steps aside until it asks again, and the next one is called.
- Only a few are called that have not begun: claims never run ahead of what can be created, or all who work
  here would wait to create something, and nobody would be left for the runs that are active.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from dask_flows.agent.conditions import CLEANED_UP, condition
from dask_flows.agent.lanes import Lane, Lanes, Limit, Limits
from dask_flows.agent.views import RunView
from dask_flows.config import AgentConfig
from dask_flows.deadline import Clock, parse_timestamp
from dask_flows.flowrun import CLAIMED, STARTING, FlowRun
from dask_flows.kube.errors import Forbidden, Invalid, NotFound, TooManyRequests

log = logging.getLogger("dask_flows.agent")

# A call that leads to nothing gives its place back after this: by then the watch has shown a claim whose
# answer was lost, since a silent watch is noticed sooner.
PATIENCE = 120.0
LOOK_EVERY = 10.0
LOOK_AGAIN = 300.0  # a waiting run asks so often, even if nobody calls it
AHEAD, AHEAD_SECONDS = 4, 10.0  # runs that are called and have not begun; later they do not count
PLACE = "place "  # how a message with a place begins
PACE = "attempts begin no faster than their objects can be created (agent.rateLimit)"
# The API server has certainly not done what it answers with these.
REFUSED = (Forbidden, Invalid, NotFound, TooManyRequests)


@dataclass
class _Call:
    """A place that is held for a run; ``since`` is monotonic, None while the claim is being written."""

    lane: Lane
    created: str
    since: float | None


class Turnstile:
    """Give places to runs."""

    def __init__(self, config: AgentConfig, clock: Clock, wake: Callable[[str], None]) -> None:
        self._limits = Limits(config)
        self._mode = config.mode
        self._clock = clock
        self._wake = wake
        self._waiting = Lanes()
        self._asked: set[str] = set()
        self._called: dict[str, _Call] = {}
        self._active: dict[str, Lane] = {}
        self._ahead: dict[str, float] = {}
        self._used: Counter[Limit] = Counter()
        self._paused_until = float("-inf")
        self._pause = ""
        self._looked = float("-inf")
        self._open = False

    def __len__(self) -> int:
        """Count the runs that wait for a place."""
        return len(self._waiting)

    @property
    def taken(self) -> int:
        """Count the places that are taken or held for a run that is called."""
        return len(self._active) + len(self._called)

    def see(self, name: str, old: RunView | None, new: RunView | None) -> None:
        """Take note of a change of a FlowRun; the cache calls it."""
        if old and (new is None or new.run.uid != old.run.uid):
            self._forget(name)
            old = None
        now = self._clock.now()
        if new is None:
            pass
        elif holds_place(new.run):
            if new.run.phase != STARTING:
                self._ahead.pop(name, None)
            self._take(name, self._lane(new.run, new.run.status.get("mode")))
        elif not may_go(new, now):
            self._forget(name)
        elif name in self._called:
            pass  # a newer copy that is not claimed: it asks again
        elif name in self._active or old is None or not may_go(old, now):
            self._drop(name)
            self._waiting.add(name, new.run.created, self._lane(new.run))
        self._fill()

    def waits(self, name: str) -> bool:
        """Tell whether a run has asked for a place and has none yet."""
        return name in self._waiting and name in self._asked

    def admit(self, run: FlowRun, mode: str) -> bool:
        """Tell whether a run that could begin now has a place; if not, it is woken when it has one.

        Only to be asked once every FlowRun has been seen.
        """
        name = run.name
        self._open = True
        if name not in self._called and name not in self._active:
            self._asked.add(name)
            self._waiting.add(name, run.created, self._lane(run, mode))
        self._fill(asking=name)
        return name in self._called or name in self._active

    @contextmanager
    def entering(self, name: str) -> Iterator[None]:
        """Hold the run's place while its claim is written; give it back if that was refused."""
        if name in self._called:
            self._called[name].since = None
        try:
            yield
        except REFUSED:
            if name in self._called:
                self._drop(name)
            self._begun(name)
            raise
        except BaseException:  # the claim may have been written: the place stays held
            self._hold(name)
            self._begun(name)
            raise
        self._hold(name)
        self._call_back()

    @contextmanager
    def beginning(self, name: str) -> Iterator[None]:
        """Count a run among those that have not begun while its objects are made, however long it takes."""
        if name in self._ahead:
            self._ahead[name] = float("inf")
        try:
            yield
        finally:
            self._begun(name)

    def pause(self, seconds: float, why: str) -> None:
        """Let no run begin on the shared cluster for a while; those that are called wait again."""
        self._paused_until = self._clock.monotonic() + seconds
        self._pause = why
        self._call_back()

    def resume(self) -> None:
        """End the pause."""
        self._paused_until = float("-inf")
        self._fill()

    def why(self, name: str) -> str | None:
        """Say what a run waits for, and at which place; None if it does not wait."""
        if name not in self._waiting:
            return None
        lane = self._waiting.lane_of(name)
        if self._paused(lane):
            return self._pause
        full = next((limit for limit in lane if self._left(limit) <= 0), None)
        place, count = self._waiting.place(name, full or self._limits.total)
        return f"{PLACE}{place} of {count}: {full.text if full else PACE}"

    def first(self, count: int) -> Iterable[str]:
        """Return the oldest runs that wait."""
        return self._waiting.first(count)

    def _fill(self, asking: str = "") -> None:
        if not self._open:
            return  # who is active is not known yet
        self._expire()
        while self._keeps_up() and (name := self._waiting.next(self._has_room)) is not None:
            lane, created = self._waiting.lane_of(name), self._waiting.created(name)
            self._waiting.remove(name)
            self._asked.discard(name)
            self._used.update(lane)
            self._called[name] = _Call(lane, created, self._clock.monotonic())
            self._ahead[name] = self._clock.monotonic()
            if name != asking:
                self._wake(name)

    def _begun(self, name: str) -> None:
        self._ahead.pop(name, None)
        self._fill()

    def _keeps_up(self) -> bool:
        if len(self._ahead) >= AHEAD:
            now = self._clock.monotonic()
            self._ahead = {n: t for n, t in self._ahead.items() if now - t < AHEAD_SECONDS}
        return len(self._ahead) < AHEAD

    def _has_room(self, lane: Lane) -> bool:
        return not self._paused(lane) and all(self._left(limit) > 0 for limit in lane)

    def _paused(self, lane: Lane) -> bool:
        return self._limits.static in lane and self._clock.monotonic() < self._paused_until

    def _left(self, limit: Limit) -> float:
        return float("inf") if limit.most is None else limit.most - self._used[limit]

    def _take(self, name: str, lane: Lane) -> None:
        if self._active.get(name) != lane:
            self._drop(name)
            self._active[name] = lane
            self._used.update(lane)

    def _hold(self, name: str) -> None:
        if name in self._called:
            self._called[name].since = self._clock.monotonic()

    def _call_back(self) -> None:
        if self._clock.monotonic() >= self._paused_until:
            return
        for name, call in list(self._called.items()):
            if call.since is not None and self._paused(call.lane):
                self._forget(name)
                self._waiting.add(name, call.created, call.lane)

    def _drop(self, name: str) -> None:
        self._asked.discard(name)
        self._waiting.remove(name)
        call, lane = self._called.pop(name, None), self._active.pop(name, None)
        for freed in filter(None, (call.lane if call else None, lane)):
            self._used.subtract(freed)

    def _forget(self, name: str) -> None:
        self._ahead.pop(name, None)
        self._drop(name)

    def _expire(self) -> None:
        now = self._clock.monotonic()
        if now < self._looked + LOOK_EVERY:
            return
        self._looked = now
        for name, call in list(self._called.items()):
            if call.since is not None and now - call.since >= PATIENCE:
                log.warning("place given back run=%s after=%.0fs", name, PATIENCE)
                self._forget(name)

    def _lane(self, run: FlowRun, mode: object = None) -> Lane:
        return self._limits.lane(str(mode or run.spec.mode or self._mode), run.spec.profile)


def holds_place(run: FlowRun) -> bool:
    """Tell whether a run is active: claimed, or ended with something of its attempt still there."""
    return run.phase in CLAIMED or (run.attempt > 0 and condition(run, CLEANED_UP) is None)


def may_go(view: RunView, now: datetime) -> bool:
    """Tell whether a run could begin an attempt now, as far as one can tell from its copy."""
    run = view.run
    if run.terminal or view.invalid or view.deleting or run.spec.suspend or run.spec.cancel:
        return False
    try:
        return parse_timestamp(str(run.status.get("retryTime") or "")) <= now
    except ValueError:
        return True  # it waits for no time

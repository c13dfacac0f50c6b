"""What a user would see of FlowRuns, and when: the figures that tests and the benchmark judge by."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from dask_flows.agent.conditions import CLEANED_UP
from dask_flows.kube.api import DELETED, Api, Object
from dask_flows.kube.resources import FLOWRUNS
from kwok.follow import follow

CLAIMED = ("Starting", "Running")
TERMINAL = ("Succeeded", "Failed", "Cancelled")


@dataclass(eq=False)
class Seen:
    """One FlowRun; times are of time.monotonic()."""

    name: str
    uid: str
    created: float = 0.0
    phase: str = ""
    reason: str = ""
    attempt: int = 0
    cleaned: bool = False
    first: dict[tuple[int, str], float] = field(default_factory=dict)  # by attempt and phase

    def at(self, phase: str, attempt: int = 1) -> float | None:
        """Return when it was first seen in a phase."""
        return self.first.get((attempt, phase))

    @property
    def claimed(self) -> float | None:
        """When the first attempt was first seen."""
        times = [when for (attempt, phase), when in self.first.items() if attempt >= 1 and phase]
        return min(times, default=None)

    @property
    def ended(self) -> float | None:
        """When it was first seen at its end."""
        return next((when for (_, phase), when in self.first.items() if phase in TERMINAL), None)


class Observer:
    """Follow the FlowRuns of a namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.runs: dict[str, Seen] = {}
        self.most_active = 0
        self.phases: Counter[str] = Counter()
        self._api = api
        self._namespace = namespace
        self._changed = asyncio.Event()

    @property
    def active(self) -> int:
        """How many attempts are claimed and not over."""
        return sum(self.phases[phase] for phase in CLAIMED)

    async def work(self) -> None:
        """Follow for ever."""
        async with aclosing(follow(self._api, FLOWRUNS, self._namespace)) as events:
            async for event in events:
                self._see(event.type, event.object)

    async def until(self, reached: Callable[[], bool], seconds: float) -> None:
        """Wait until something holds; raises TimeoutError with what is known."""
        try:
            async with asyncio.timeout(seconds):
                while not reached():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"not so after {seconds:g} s: {dict(self.phases)}") from None

    def _see(self, kind: str, obj: Object) -> None:
        now = time.monotonic()
        meta: dict[str, Any] = obj["metadata"]
        if kind == DELETED:
            if (gone := self.runs.pop(meta["name"], None)) is not None:
                self.phases[gone.phase] -= 1
        else:
            seen = self.runs.get(meta["name"])
            if seen is None or seen.uid != meta["uid"]:
                seen = self.runs[meta["name"]] = Seen(meta["name"], meta["uid"], created=now)
                self.phases[""] += 1
            self._note(seen, obj.get("status") or {}, now)
        self.most_active = max(self.most_active, self.active)
        self._changed.set()

    def _note(self, seen: Seen, status: dict[str, Any], now: float) -> None:
        phase = str(status.get("phase") or "")
        self.phases[seen.phase] -= 1
        self.phases[phase] += 1
        seen.phase, seen.reason = phase, str(status.get("reason") or "")
        seen.attempt = int(status.get("attempt") or 0)
        seen.cleaned = any(one["type"] == CLEANED_UP for one in status.get("conditions") or [])
        seen.first.setdefault((seen.attempt, phase), now)

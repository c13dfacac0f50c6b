"""Failures to order: which call, before or after it takes effect, how often."""

import asyncio
from dataclasses import dataclass
from fnmatch import fnmatch

from dask_flows.kube.errors import KubeError

BEFORE, AFTER = "before", "after"
WRITES = ("create", "patch", "patch/status", "delete")


class Crash(BaseException):
    """The process dies here: nothing may catch it."""


@dataclass
class Fault:
    """Fail calls whose verb, plural and name match, ``times`` times."""

    verb: str
    plural: str
    name: str
    error: BaseException | None
    times: int
    moment: str
    delay: float = 0.0

    def matches(self, verb: str, plural: str, name: str, moment: str) -> bool:
        """Whether this call is to fail."""
        names = fnmatch(plural, self.plural) and fnmatch(name, self.name)
        return self.times > 0 and moment == self.moment and fnmatch(verb, self.verb) and names


class Faults:
    """All failures ordered so far."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._crash_at: tuple[int, str] | None = None
        self._writes = 0
        self.crashed = False

    def fail(
        self,
        verb: str,
        plural: str,
        error: KubeError | None = None,
        *,
        name: str = "*",
        times: int = 1,
        moment: str = BEFORE,
        delay: float = 0.0,
    ) -> Fault:
        """Let matching calls take ``delay`` seconds and then raise ``error``, if one is given."""
        fault = Fault(verb, plural, name, error, times, moment, delay)
        self._faults.append(fault)
        return fault

    def crash_at(self, write: int, moment: str) -> None:
        """Raise ``Crash`` before or after the n-th write from now, counted from 1."""
        self._crash_at = (self._writes + write, moment)

    def clear(self) -> None:
        """Forget everything ordered."""
        self._faults.clear()
        self._crash_at = None

    async def meet(self, verb: str, plural: str, name: str, moment: str) -> None:
        """Fail here if that was ordered."""
        if verb in WRITES and moment == BEFORE:
            self._writes += 1
        if verb in WRITES and self._crash_at == (self._writes, moment):
            self._crash_at, self.crashed = None, True
            raise Crash(f"{moment} {verb} {plural} {name}")
        for fault in self._faults:
            if fault.matches(verb, plural, name, moment):
                fault.times -= 1
                await asyncio.sleep(fault.delay)
                if fault.error is not None:
                    raise fault.error

"""Let a test look at every write, and end the process before or after one: proof against crashes.

Only writes are met. ``before`` is met by every try of a write, ``after`` only by one that the API server
has taken. A real agent stands here only if it was started with ``--failpoint``, which the chart cannot do.
"""

import os
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from dask_flows.errors import UsageError
from dask_flows.kube.api import Api
from dask_flows.kube.through import Call, Through

T = TypeVar("T")
BEFORE, AFTER = "before", "after"
WRITES = ("create", "patch", "delete")
KILLED = 137  # what a shell says of a process that was killed


Meet = Callable[[Call, str], None]


@dataclass(frozen=True)
class Point:
    """A moment in the life of the agent: before or after the n-th write that is this step."""

    step: str
    moment: str
    count: int = 1

    @classmethod
    def parse(cls, text: str, steps: Collection[str]) -> "Point":
        """Read ``STEP:before[:N]``; raises UsageError for a step or moment that does not exist."""
        step, _, rest = text.partition(":")
        moment, _, number = rest.partition(":")
        count = number or "1"
        if step not in steps or moment not in (BEFORE, AFTER) or not count.isdecimal():
            raise UsageError(
                f"{text!r} is no failpoint",
                where="--failpoint",
                do=f"write STEP:before[:N] or STEP:after[:N]; steps are {', '.join(sorted(steps))}",
            )
        return cls(step, moment, int(count))


def exit_at(point: Point, step_of: Callable[[Call], str]) -> Meet:
    """Return what ends the process at a point, at once: nothing is closed, nothing is said."""
    left = point.count

    def meet(call: Call, moment: str) -> None:
        nonlocal left
        if (step_of(call), moment) != (point.step, point.moment):
            return
        left -= 1
        if left == 0:
            os._exit(KILLED)

    return meet


class Failpoints(Through):
    """The Kubernetes API with ``meet`` called before and after each write; a dry run is none."""

    def __init__(self, api: Api, meet: Meet) -> None:
        super().__init__(api)
        self._meet = meet

    async def _around(self, call: Call, go: Callable[[], Awaitable[T]]) -> T:
        if call.verb not in WRITES or call.dry_run:
            return await go()
        self._meet(call, BEFORE)
        answer = await go()
        self._meet(call, AFTER)
        return answer

"""Let a test look at every write, and end the process before or after one: proof against crashes.

Only writes are met. ``before`` is met by every try of a write, ``after`` only by one that the API server
has taken. A real agent stands here only if it was started with ``--failpoint``, which the chart cannot do.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from dask_flows.errors import UsageError
from dask_flows.kube.api import Api, Object
from dask_flows.kube.resources import Resource
from dask_flows.kube.through import Through

BEFORE, AFTER = "before", "after"
KILLED = 137  # what a shell says of a process that was killed


@dataclass(frozen=True)
class Write:
    """One request that changes something."""

    verb: str
    resource: Resource
    name: str
    body: Object = field(default_factory=dict)
    subresource: str = ""


Meet = Callable[[Write, str], None]


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


def exit_at(point: Point, step_of: Callable[[Write], str]) -> Meet:
    """Return what ends the process at a point, at once: nothing is closed, nothing is said."""
    left = point.count

    def meet(write: Write, moment: str) -> None:
        nonlocal left
        if (step_of(write), moment) != (point.step, point.moment):
            return
        left -= 1
        if left == 0:
            os._exit(KILLED)

    return meet


class Failpoints(Through):
    """The Kubernetes API with ``meet`` called before and after each write."""

    def __init__(self, api: Api, meet: Meet) -> None:
        super().__init__(api)
        self._meet = meet

    async def create(
        self, resource: Resource, namespace: str, body: Object, *, dry_run: bool = False
    ) -> Object:
        """Create an object; a dry run changes nothing and is not met."""
        if dry_run:
            return await self._api.create(resource, namespace, body, dry_run=True)
        write = Write("create", resource, str(body["metadata"].get("name") or ""), body)
        self._meet(write, BEFORE)
        made = await self._api.create(resource, namespace, body)
        self._meet(write, AFTER)
        return made

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Object,
        *,
        subresource: str = "",
    ) -> Object:
        """Merge into an object."""
        write = Write("patch", resource, name, body, subresource)
        self._meet(write, BEFORE)
        made = await self._api.patch(resource, namespace, name, body, subresource=subresource)
        self._meet(write, AFTER)
        return made

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace: int | None = None,
    ) -> None:
        """Delete an object."""
        write = Write("delete", resource, name)
        self._meet(write, BEFORE)
        await self._api.delete(resource, namespace, name, uid=uid, grace=grace)
        self._meet(write, AFTER)

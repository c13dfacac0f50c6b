"""Follow the warnings of Kubernetes about what belongs to runs: some things only events say.

A Job whose pod is not admitted, and a pod whose volumes cannot be mounted, say nothing in their status.
Nothing rests on these events: if they may not be read, the agent does without.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from dask_flows import names
from dask_flows.deadline import Clock
from dask_flows.kube.api import Api, Object
from dask_flows.kube.informer import Informer
from dask_flows.kube.resources import EVENTS
from dask_flows.kube.rhythm import Rhythm
from dask_flows.told import REFUSED, SETUP, Told

# What the status of an object says as well; these are most of all warnings.
USUAL = ("BackOff", "Failed", "FailedScheduling", "Unhealthy")
FIELDS = ",".join(
    ("type=Warning", "involvedObject.kind!=FlowRun", *(f"reason!={r}" for r in USUAL))
)
# The API server keeps no cache of events, so it sends no bookmarks: a watch that outlasts the longest silence
# would be taken for a dead one.
RHYTHM = Rhythm(watch=(45, 60))
WANTED = SETUP | {REFUSED}
NOTHING = Told("", "", "", "")


class Warnings:
    """Keep what is told of Jobs and pods of attempts; call ``changed`` with an attempt's name."""

    def __init__(
        self, api: Api, namespace: str, clock: Clock, changed: Callable[[str], None]
    ) -> None:
        self.informer = Informer(
            api, EVENTS, namespace, told_by, clock=clock, fields=FIELDS, rhythm=RHYTHM
        )
        self._changed = changed
        self._of: defaultdict[str, dict[str, Told]] = defaultdict(dict)
        self.informer.subscribe(self._on_event)

    def about(self, base: str) -> tuple[Told, ...]:
        """Return what is told of the objects of the attempt of this name."""
        return tuple(self._of.get(base, {}).values())

    def _on_event(self, event: str, _: Told | None, new: Told | None) -> None:
        base = names.attempt_of(new.name if new else event.rpartition(".")[0])
        if not base:
            return
        if new is None:
            self._of[base].pop(event, None)
            if not self._of[base]:
                del self._of[base]
        elif new is not NOTHING:
            self._of[base][event] = new
            self._changed(base)


def told_by(obj: Object) -> Told:
    """Project an event; what is not about an attempt takes no room."""
    about: dict[str, Any] = obj.get("involvedObject") or {}
    name, reason = str(about.get("name") or ""), str(obj.get("reason") or "")
    if reason not in WANTED or not names.attempt_of(name):
        return NOTHING
    return Told(str(about.get("kind") or ""), name, reason, str(obj.get("message") or "")[:1000])

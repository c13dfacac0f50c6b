"""The states that FlowRuns have had, in the order of their resourceVersions, and where some may be missing.

An API server that is killed loses entries of its audit log whose writes are in etcd. What is known of a run
is therefore a chain with gaps: a write says by its precondition which version it follows.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from invariants.evidence import Object, status_of

NOTHING_YET = 0  # the version that a FlowRun's creation follows


@dataclass(frozen=True)
class State:
    """A FlowRun at one version.

    ``follows`` is the version before it, None if it is not known; ``of_status`` is whether this version
    was made by a write of its status: no other write changes that.
    """

    version: int
    generation: int = 0
    status: Object = field(default_factory=dict)
    follows: int | None = None
    of_status: bool = False


@dataclass
class Lives:
    """The states of FlowRuns by UID."""

    names: dict[str, str] = field(default_factory=dict)
    _of: dict[str, dict[int, State]] = field(default_factory=lambda: defaultdict(dict))

    def wrote(self, obj: Object, request: Object, *, verb: str, of_status: bool) -> None:
        """Note what a write has made of a FlowRun."""
        demanded = (request.get("metadata") or {}).get("resourceVersion")
        follows = int(demanded) if demanded else NOTHING_YET if verb == "create" else None
        self._note(obj, follows=follows, of_status=of_status)

    def seen(self, obj: Object) -> None:
        """Note a FlowRun as a watch or the API has shown it."""
        self._note(obj, follows=None, of_status=False)

    def _note(self, obj: Object, *, follows: int | None, of_status: bool) -> None:
        meta = obj["metadata"]
        version = int(meta["resourceVersion"])
        state = State(version, meta.get("generation") or 0, status_of(obj), follows, of_status)
        self.names[meta["uid"]] = meta["name"]
        # A write that changes nothing answers with the version that was: the first knows what it follows.
        known = self._of[meta["uid"]].get(version)
        if known is None or (known.follows is None and follows is not None):
            self._of[meta["uid"]][version] = state

    def statuses(self) -> dict[str, list[Object]]:
        """Return the statuses that are known, in order."""
        return {uid: [state.status for state in self._chain(uid)] for uid in self._of}

    def gaps(self) -> set[tuple[str, int]]:
        """Return UID and index of each status before which others may be missing."""
        return {
            (uid, index)
            for uid in self._of
            for index, (old, new) in enumerate(self._steps(uid))
            if _gap(old, new)
        }

    def lost_writes(self) -> Counter[str]:
        """Return how many writes of a status, at least, were not seen, by UID."""
        return Counter(
            uid for uid in self._of for old, new in self._steps(uid) if _lost_a_write(old, new)
        )

    def _chain(self, uid: str) -> list[State]:
        return [state for _, state in sorted(self._of[uid].items())]

    def _steps(self, uid: str) -> list[tuple[State, State]]:
        chain = self._chain(uid)
        return list(zip([State(NOTHING_YET), *chain], chain, strict=False))


def _gap(old: State, new: State) -> bool:
    if new.of_status or new.follows == NOTHING_YET:
        return new.follows != old.version
    return new.status != old.status


def _lost_a_write(old: State, new: State) -> bool:
    if not _gap(old, new):
        return False
    # Where the spec has changed, too, what was lost may be the write that changed it.
    return not new.of_status or (new.follows is not None and new.generation == old.generation)

"""What the rules judge by, wherever it was read: the API, the audit log, the flows' own counters."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

MANAGED = "app.kubernetes.io/managed-by=dask-flows-agent"
LABEL_UID = "dask-flows.dev/run-uid"
LABEL_ATTEMPT = "dask-flows.dev/attempt"
LABEL_COMPONENT = "app.kubernetes.io/component"
KINDS = ("pods", "services", "networkpolicies", "configmaps", "secrets", "jobs")


@dataclass(frozen=True)
class Start:
    """One time that a flow's own code was begun, as the flow itself has said."""

    uid: str
    attempt: int
    pod: str


@dataclass(frozen=True)
class Agent:
    """What is known of an agent: its log, and the largest resident set of its process, None if not known."""

    name: str
    log: str = ""
    peak_mib: float | None = None


@dataclass
class Evidence:
    """All that is known about the runs of one namespace.

    What could not be read is None: without an audit log there are no statuses, Jobs and writes, and
    ``unproven`` says why; without a counter there are no starts.
    """

    runs: list[Object] = field(default_factory=list)
    objects: list[tuple[str, Object]] = field(default_factory=list)  # kind and object, ours only
    expires: bool = False  # whether the release gives each finished Job a time to live
    unproven: str = ""  # why the audit log proves nothing
    statuses: dict[str, list[Object]] | None = None  # all that are known of a run, by UID, in order
    gaps: set[tuple[str, int]] = field(
        default_factory=set
    )  # UID, index: others may be missing before it
    names: dict[str, str] = field(
        default_factory=dict
    )  # of runs, also of those that are gone, by UID
    jobs_made: Counter[str] | None = None  # how often each name of a Job was created
    writes: Counter[str] | None = None  # the agent's, by UID of the run
    starts: list[Start] | None = None
    counted: frozenset[str] = frozenset()  # UIDs of runs whose flow counts its starts
    restarts: int = 0  # of the agent, of which each may have hit any run: it may repeat some writes
    faults: Mapping[str, int] = field(default_factory=dict)  # that hit a run, beside these, by UID
    handed_over: frozenset[str] = frozenset()  # UIDs of runs that are older than the agent
    agents: list[Agent] = field(default_factory=list)


def status_of(run: Object) -> Object:
    """Return the status of a FlowRun, empty before anybody wrote it."""
    status: Object = run.get("status") or {}
    return status


def has_condition(status: Object, kind: str) -> bool:
    """Whether a condition is True."""
    found = status.get("conditions") or []
    return any(c["type"] == kind and c["status"] == "True" for c in found)

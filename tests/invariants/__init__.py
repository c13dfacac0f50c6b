"""The checker: five rules over what the API, the audit log and the flows' own counters say.

``check(kube)`` is what every cluster test ends with; the rules are in ``rules``.
"""

from collections.abc import Iterable
from pathlib import Path

from invariants import audit
from invariants.evidence import KINDS, MANAGED, Evidence, Object, Start
from invariants.rules import broken
from kube import Kube, eventually

_SAID: set[str] = set()


def check(
    kube: Kube,
    timeout: float = 60,
    *,
    starts: Iterable[Start] | None = None,
    counted: Iterable[str] = (),
    restarts: int = 0,
    log: Path | None = None,
) -> None:
    """Fail unless all rules hold within ``timeout`` seconds, the time that cleaning up may take.

    ``starts`` are what the flows with the UIDs ``counted`` have said themselves; ``restarts`` is how often
    the agent was killed.
    """
    own = None if starts is None else list(starts)

    def found() -> list[str]:
        return violations(kube, starts=own, counted=counted, restarts=restarts, log=log)

    eventually(lambda: not found(), timeout, lambda: "\n".join(found()))


def violations(
    kube: Kube,
    *,
    starts: list[Start] | None = None,
    counted: Iterable[str] = (),
    restarts: int = 0,
    watched: Iterable[Object] = (),
    log: Path | None = None,
) -> list[str]:
    """Name each broken rule; without an audit log, says so once and judges by the rest.

    ``watched`` are FlowRuns as a watch has shown them: they fill what the log may lack.
    """
    evidence = read(kube, watched=watched, log=log)
    evidence.starts, evidence.counted, evidence.restarts = starts, frozenset(counted), restarts
    return broken(evidence)


def read(kube: Kube, *, watched: Iterable[Object] = (), log: Path | None = None) -> Evidence:
    """Return what the API and the audit log say about a namespace."""
    runs = kube.list("flowruns")
    objects = [(kind, obj) for kind in KINDS for obj in kube.list(kind, MANAGED)]
    evidence = Evidence(runs=runs, objects=objects)
    where = log or audit.default_log()
    since = kube.request("GET", f"/api/v1/namespaces/{kube.namespace}")["metadata"]["creationTimestamp"]  # fmt: skip
    if why := audit.missing(where, kube.namespace, since):
        _say_once(f"{why}: Jobs, the order of phases and the number of writes are not checked")
        return evidence
    jobs = [obj for kind, obj in objects if kind == "jobs"]
    said = audit.read(where, kube.namespace, since, runs, watched=watched, jobs=jobs)
    evidence.statuses, evidence.gaps = said.lives.statuses(), said.lives.gaps()
    evidence.names, evidence.jobs_made, evidence.writes = (
        said.lives.names, said.jobs_made, said.writes,
    )  # fmt: skip
    return evidence


def _say_once(text: str) -> None:
    if text.partition(" ")[0] not in _SAID:
        _SAID.add(text.partition(" ")[0])
        print(f"invariants: {text}")  # noqa: T201 - the one line for who runs the tests

"""The checker: five rules over what the API, the audit log, the agents and the flows' own counters say.

``check(kube)`` is what every cluster test ends with; the rules are in ``rules``. Without an audit log only
some of them can be judged: on our own cluster and in CI that is a failure, elsewhere a notice.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from invariants import agents as reading
from invariants import audit
from invariants.cost import sound
from invariants.evidence import KINDS, MANAGED, Agent, Evidence, Object, Start
from invariants.rules import broken
from kube import Kube, eventually

RELEASE = "app.kubernetes.io/component=agent"
NOT_CHECKED = "Jobs, the order of phases and the number of writes are not checked"
_SAID: set[str] = set()


def check(
    kube: Kube,
    timeout: float = 60,
    *,
    starts: Iterable[Start] | None = None,
    counted: Iterable[str] = (),
    restarts: int = 0,
    agents: Iterable[Agent] | None = None,
    log: Path | None = None,
) -> None:
    """Fail unless all rules hold within ``timeout`` seconds, the time that cleaning up may take.

    Where there must be an audit log, it has to prove something.
    ``starts`` are what the flows with the UIDs ``counted`` have said themselves; ``restarts`` is how often
    the agent was killed; ``agents`` are those outside of the cluster, else the ones in the namespace's pods.
    """
    own = None if starts is None else list(starts)

    def found() -> list[str]:
        evidence = read(kube, log=log)
        return [*_unproven(evidence), *_judge(evidence, own, counted, restarts)]

    eventually(lambda: not found(), timeout, lambda: "\n".join(found()))
    # Once, when all is over: what an agent has left does not go away.
    left = list(reading.in_pods(kube) if agents is None else agents)
    wrong = list(sound(Evidence(agents=left)))
    assert not wrong, "\n".join(wrong)


def violations(
    kube: Kube,
    *,
    starts: list[Start] | None = None,
    counted: Iterable[str] = (),
    faults: Mapping[str, int] | None = None,
    agents: Iterable[Agent] = (),
    watched: Iterable[Object] = (),
    log: Path | None = None,
) -> list[str]:
    """Name each broken rule; without an audit log, says so once and judges by the rest.

    ``faults`` are how many hit each run's agent or control plane, by UID. ``watched`` are FlowRuns as a watch
    has shown them: they fill what the log may lack.
    """
    evidence = read(kube, watched=watched, log=log)
    evidence.faults, evidence.agents = faults or {}, list(agents)
    return _judge(evidence, starts, counted, restarts=0)


def unproven(kube: Kube, *, log: Path | None = None) -> str:
    """Say why the audit log proves nothing about a namespace; empty if it does."""
    return audit.missing(log or audit.default_log(), kube.namespace, _since(kube))


def read(kube: Kube, *, watched: Iterable[Object] = (), log: Path | None = None) -> Evidence:
    """Return what the API and the audit log say about a namespace."""
    runs = kube.list("flowruns")
    objects = [(kind, obj) for kind in KINDS for obj in kube.list(kind, MANAGED)]
    evidence = Evidence(
        runs=runs, objects=objects, expires=_expires(kube.list("configmaps", RELEASE))
    )
    evidence.handed_over = _older(runs, reading.since(kube.list("pods", RELEASE)))
    where, since = log or audit.default_log(), _since(kube)
    evidence.unproven = audit.missing(where, kube.namespace, since)
    if evidence.unproven:
        _say_once(f"{evidence.unproven}: {NOT_CHECKED}")
        return evidence
    jobs = [obj for kind, obj in objects if kind == "jobs"]
    said = audit.read(where, kube.namespace, since, runs, watched=watched, jobs=jobs)
    evidence.statuses, evidence.gaps = said.lives.statuses(), said.lives.gaps()
    evidence.names, evidence.jobs_made, evidence.writes = (
        said.lives.names, said.jobs_made, said.writes,
    )  # fmt: skip
    return evidence


def _judge(
    evidence: Evidence, starts: list[Start] | None, counted: Iterable[str], restarts: int
) -> list[str]:
    evidence.starts, evidence.counted, evidence.restarts = starts, frozenset(counted), restarts
    return broken(evidence)


def _older(runs: Iterable[Object], since: str) -> frozenset[str]:
    """Return the UIDs of the runs that came before a moment, or in the same second."""
    metas = [run["metadata"] for run in runs]
    return frozenset(meta["uid"] for meta in metas if str(meta["creationTimestamp"]) <= since)


def _unproven(evidence: Evidence) -> list[str]:
    why = audit.owed() if evidence.unproven else ""
    return [f"the audit log proves nothing: {evidence.unproven} ({why})"] if why else []


def _since(kube: Kube) -> str:
    namespace = kube.request("GET", f"/api/v1/namespaces/{kube.namespace}")
    return str(namespace["metadata"]["creationTimestamp"])


def _expires(maps: Iterable[Object]) -> bool:
    """Whether every release, with and without a profile, gives finished Jobs a time to live."""
    texts = [text for obj in maps if (text := (obj.get("data") or {}).get("config.yaml"))]
    configs = [yaml.safe_load(text) for text in texts]
    runs = [part["runs"] for c in configs for part in (c, *(c.get("profiles") or {}).values())]
    return bool(runs) and all(one["ttlSecondsAfterFinished"] is not None for one in runs)


def _say_once(text: str) -> None:
    if text.partition(" ")[0] not in _SAID:
        _SAID.add(text.partition(" ")[0])
        print(f"invariants: {text}", file=sys.stderr)  # noqa: T201 - for who runs the tests

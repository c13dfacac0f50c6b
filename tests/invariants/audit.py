"""The API server's audit log as evidence: what was written, by whom, in which order.

Our own cluster writes one (``ci/cluster``); a cluster of somebody else may not, which is said, not hidden.
An API server that is killed does not write all of it: ``lives`` finds what is missing.
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from invariants.evidence import LABEL_UID, Object
from invariants.lives import Lives

AGENT = re.compile(r"system:serviceaccount:.*-dask-flows-agent")
# A pod of an attempt, its Service, its Job, NetworkPolicy, ConfigMap and Secret: they all begin with the attempt's name.
BASE = re.compile(
    r"f-.+-(?P<digest>[0-9a-f]{8})-(?P<attempt>\d+)(-scheduler|-worker-\d+|-\w{5}|-[0-9a-f]{8})?"
)
JOB = re.compile(r"f-.+-[0-9a-f]{8}-\d+")
BEGIN = b'{"kind":"Event"'
WRITES = ("create", "update", "patch", "delete")


@dataclass
class Audit:
    """What the log says about one namespace."""

    lives: Lives = field(default_factory=Lives)
    jobs_made: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)


def default_log() -> Path:
    """Return where our own cluster keeps its log, whether it is there or not."""
    return _own_cluster() / "log" / "audit.log"


def owed() -> str:
    """Say why there must be a log that proves something; empty on a cluster of somebody else."""
    if os.environ.get("CI") == "true":
        return "CI=true"
    folder = _own_cluster()
    named = filter(None, os.environ.get("KUBECONFIG", "").split(os.pathsep))
    if any(Path(one).resolve().is_relative_to(folder.resolve()) for one in named):
        return f"the cluster in {folder} writes one"
    return ""


def missing(log: Path, namespace: str, since: str) -> str:
    """Say why the log proves nothing about a namespace that was made at ``since``; empty if it does."""
    if not log.exists():
        return f"no audit log at {log}"
    parts = _parts(log)
    first = next(_events(parts[0], b'"requestReceivedTimestamp"'), None)
    if first is None or str(first["requestReceivedTimestamp"]) > since:
        return f"{log} does not reach back to {since}"
    if next(_events(log, _mark(namespace)), None) is None and not any(
        next(_events(part, _mark(namespace)), None) for part in parts
    ):
        return f"{log} is not of this cluster"
    return ""


def read(
    log: Path, namespace: str, since: str, runs: list[Object], *,
    watched: Iterable[Object] = (), jobs: Iterable[Object] = (),
) -> Audit:  # fmt: skip
    """Return what the log says about a namespace, and what others saw that it lacks.

    ``runs`` and ``jobs`` are there now; ``watched`` are FlowRuns as a watch has shown them.
    """
    begin = datetime.fromisoformat(since).timestamp()
    audit = Audit()
    digests = {_digest(run["metadata"]["uid"]): run["metadata"]["uid"] for run in runs}
    for part in _parts(log):
        if part.stat().st_mtime < begin:
            continue
        for event in _events(part, _mark(namespace)):
            _see(audit, event, digests)
    for run in (*watched, *runs):
        audit.lives.seen(run)
    audit.writes += audit.lives.lost_writes()
    for job in jobs:
        if job["metadata"]["name"] not in audit.jobs_made:  # its entry was lost
            audit.jobs_made[job["metadata"]["name"]] = 1
            audit.writes[job["metadata"]["labels"][LABEL_UID]] += 1
    return audit


def _see(audit: Audit, event: Object, digests: dict[str, str]) -> None:
    if event["verb"] not in WRITES or not 200 <= event["responseStatus"].get("code", 0) < 300:
        return
    target, verb = event["objectRef"], event["verb"]
    kind, name = str(target["resource"]), str(target.get("name") or "")
    by_agent = AGENT.fullmatch(event["user"]["username"]) is not None
    if "dryRun" in str(event.get("requestURI")):
        return
    if kind == "flowruns":
        _see_run(audit, event, by_agent=by_agent)
        return
    if (kind, verb) == ("jobs", "create") and JOB.fullmatch(name):
        audit.jobs_made[name] += 1
    found = BASE.fullmatch(name)
    if by_agent and found and found["digest"] in digests:
        audit.writes[digests[found["digest"]]] += 1


def _see_run(audit: Audit, event: Object, *, by_agent: bool) -> None:
    obj, of_status = event.get("responseObject") or {}, "subresource" in event["objectRef"]
    if obj.get("kind") != "FlowRun":  # of a deletion
        return
    request = event.get("requestObject") or {}
    audit.lives.wrote(obj, request, verb=event["verb"], of_status=of_status)
    if by_agent and of_status:
        audit.writes[obj["metadata"]["uid"]] += 1


def _own_cluster() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = os.environ.get("DASK_FLOWS_CACHE") or str(home / "dask-flows")
    return Path(os.environ.get("DASK_FLOWS_CLUSTER") or str(Path(cache) / "cluster"))


def _parts(log: Path) -> list[Path]:
    return [*sorted(log.parent.glob(f"{log.stem}-*{log.suffix}")), log]


def _mark(namespace: str) -> bytes:
    return f'"namespace":"{namespace}"'.encode()


def _events(part: Path, mark: bytes) -> Iterator[Object]:
    with part.open("rb") as lines:
        for line in lines:
            if mark in line and line.endswith(b"\n"):
                # A server that was killed may have left half an entry before its successor's first.
                whole = line[line.rindex(BEGIN) :]
                if mark in whole:
                    yield json.loads(whole)


def _digest(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:8]


def now() -> str:
    """Return the present moment as the log writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

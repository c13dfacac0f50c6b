"""The API server's audit log as evidence: what was written, by whom, in which order.

Our own cluster writes one (``ci/cluster``); a cluster of somebody else may not, which is said, not hidden.
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from invariants.evidence import Object

AGENT = re.compile(r"system:serviceaccount:.*-dask-flows-agent")
# A pod of an attempt, its Service, its Job, ConfigMap and Secret: they all begin with the attempt's name.
BASE = re.compile(r"f-.+-(?P<digest>[0-9a-f]{8})-(?P<attempt>\d+)(-scheduler|-worker-\d+|-\w{5})?")
JOB = re.compile(r"f-.+-[0-9a-f]{8}-\d+")
WRITES = ("create", "update", "patch", "delete")


@dataclass
class Audit:
    """What the log says about one namespace."""

    statuses: dict[str, list[Object]] = field(default_factory=dict)
    jobs_made: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)


def default_log() -> Path:
    """Return where our own cluster keeps its log, whether it is there or not."""
    cache = os.environ.get("DASK_FLOWS_CACHE") or str(Path.home() / ".cache" / "dask-flows")
    cluster = os.environ.get("DASK_FLOWS_CLUSTER") or str(Path(cache) / "cluster")
    return Path(cluster) / "log" / "audit.log"


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


def read(log: Path, namespace: str, since: str, runs: list[Object]) -> Audit:
    """Return what the log says about a namespace; ``runs`` are the FlowRuns that are there now."""
    begin = datetime.fromisoformat(since).timestamp()
    audit, lives = Audit(), _Lives()
    digests = {_digest(run["metadata"]["uid"]): run["metadata"]["uid"] for run in runs}
    for part in _parts(log):
        if part.stat().st_mtime < begin:
            continue
        for event in _events(part, _mark(namespace)):
            _see(audit, lives, event, digests)
    audit.statuses = lives.by_uid(runs)
    for uid, count in lives.writes_by_uid(runs).items():
        audit.writes[uid] += count
    return audit


class _Lives:
    """The statuses of FlowRuns by name; a name that is made again begins a new life."""

    def __init__(self) -> None:
        self._of: dict[str, list[list[Object]]] = {}
        self._writes: dict[str, list[int]] = {}

    def begin(self, name: str) -> None:
        """Note that a FlowRun was created."""
        self._of.setdefault(name, []).append([])
        self._writes.setdefault(name, []).append(0)

    def change(self, name: str, body: Object, *, whole: bool, by_agent: bool) -> None:
        """Note a write of a status."""
        if name not in self._of:
            self.begin(name)
        statuses = self._of[name][-1]
        old = statuses[-1] if statuses else {}
        new = body.get("status") or {}
        statuses.append(new if whole else merge(old, new))
        self._writes[name][-1] += by_agent

    def by_uid(self, runs: list[Object]) -> dict[str, list[Object]]:
        """Return the statuses of all lives, those of FlowRuns that are gone under a made-up key."""
        uids = {run["metadata"]["name"]: run["metadata"]["uid"] for run in runs}
        found = {}
        for name, lives in self._of.items():
            for number, statuses in enumerate(lives, 1):
                last = number == len(lives)
                key = uids[name] if last and name in uids else f"{name} (life {number})"
                found[key] = statuses
        return found

    def writes_by_uid(self, runs: list[Object]) -> dict[str, int]:
        """Return how often the agent wrote the status of each FlowRun that is there."""
        uids = {run["metadata"]["name"]: run["metadata"]["uid"] for run in runs}
        return {uid: self._writes.get(name, [0])[-1] for name, uid in uids.items()}


def merge(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def _see(audit: Audit, lives: _Lives, event: Object, digests: dict[str, str]) -> None:
    if event["verb"] not in WRITES or not 200 <= event["responseStatus"].get("code", 0) < 300:
        return
    target, verb = event["objectRef"], event["verb"]
    kind, name = str(target["resource"]), str(target.get("name") or "")
    by_agent = AGENT.fullmatch(event["user"]["username"]) is not None
    if kind == "flowruns":
        if target.get("subresource") == "status":
            body = event.get("requestObject") or {}
            lives.change(name, body, whole=verb == "update", by_agent=by_agent)
        elif verb == "create":
            lives.begin(name)
        return
    if "dryRun" in str(event.get("requestURI")):
        return
    if (kind, verb) == ("jobs", "create") and JOB.fullmatch(name):
        audit.jobs_made[name] += 1
    found = BASE.fullmatch(name)
    if by_agent and found and found["digest"] in digests:
        audit.writes[digests[found["digest"]]] += 1


def _parts(log: Path) -> list[Path]:
    return [*sorted(log.parent.glob(f"{log.stem}-*{log.suffix}")), log]


def _mark(namespace: str) -> bytes:
    return f'"namespace":"{namespace}"'.encode()


def _events(part: Path, mark: bytes) -> Iterator[Object]:
    with part.open("rb") as lines:
        for line in lines:
            if mark in line and line.endswith(b"\n"):
                yield json.loads(line)


def _digest(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:8]


def now() -> str:
    """Return the present moment as the log writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

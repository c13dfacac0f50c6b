"""What a soak works on: one namespace with one release, patiently asked while the API server is away."""

import http.client
import threading
import time
import urllib.error
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kube import Kube, Object
from soak.journal import Journal
from soak.strikes import Strike

PATIENCE = 150.0  # seconds; longer than any outage and the start after it on a busy machine
AGENT = "app.kubernetes.io/component=agent"
MANAGED = "app.kubernetes.io/managed-by=dask-flows-agent"
RUN = "dask-flows.dev/run"
TERMINAL = ("Succeeded", "Failed", "Cancelled")
MOST_ACTIVE = 6  # on two cores


class PatientKube(Kube):
    """Ask again while nobody answers; an object that exists after a repeated create is ours."""

    def request(self, method: str, path: str, body: Object | None = None, kind: str = "") -> Object:
        """Send one request until it is answered; raises HTTPError with the server's message."""
        end, again = time.monotonic() + PATIENCE, False
        while True:
            try:
                return super().request(method, path, body, kind)
            except urllib.error.HTTPError as error:
                if again and method == "POST" and error.code == 409 and body:
                    return body
                if not _may_pass(error) or time.monotonic() > end:
                    raise
            except (OSError, http.client.HTTPException):  # no answer, or half of one
                if time.monotonic() > end:
                    raise
            again = True
            time.sleep(0.3)

    def in_namespace(self, namespace: str) -> "PatientKube":
        """Return the same for another namespace."""
        return PatientKube(self.url, namespace)


def _may_pass(error: urllib.error.HTTPError) -> bool:
    # A new API server knows nobody's rights for a moment, and a quorum is missing without etcd.
    return error.code in (403, 429) or error.code >= 500


@dataclass
class World:
    """The namespace, what was done to each run, and what is counted."""

    kube: PatientKube
    journal: Journal
    chart: Path
    instance: str = "flows"
    mode: str = "static"
    half: bool = False
    created: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    hurt: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    faults: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    blows: list[float] = field(
        default_factory=list
    )  # moments after which an agent has to come back
    strikes: list[Strike] = field(default_factory=list)  # but those that end an agent
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        """Count a fault."""
        with self._lock:
            self.faults[what] += 1

    def blow(self) -> None:
        """Note that from this moment on the agent can recover."""
        self.blows.append(time.monotonic())

    @contextmanager
    def striking(self, what: str, *, aftermath: float = 0.0) -> Iterator[None]:
        """Note what is done meanwhile as a strike: it lasts ``aftermath`` seconds beyond its end."""
        begin = time.time()
        try:
            yield
        finally:
            self.strikes.append(Strike(what, begin, time.time() + aftermath))

    def hurting(self, runs: Iterable[str], what: str) -> None:
        """Note that runs were disturbed, so that their end may be another one."""
        with self._lock:
            for run in runs:
                self.hurt[run].append(what)

    def half_made(self, now: bool) -> None:
        """Note that an upgrade ended in the middle: until one works, the shared cluster may be anything."""
        if now or self.half:
            self.hurting(self.sharing(), "an upgrade that ended in the middle")
        self.half = now

    def runs(self) -> dict[str, Object]:
        """Return all FlowRuns by name."""
        return {run["metadata"]["name"]: run for run in self.kube.list("flowruns")}

    def active(self) -> list[Object]:
        """Return the runs that hold pods, or soon will."""
        found = []
        for run in self.runs().values():
            phase = (run.get("status") or {}).get("phase") or "Pending"
            if phase not in (*TERMINAL, "Suspended") and not run["spec"].get("suspend"):
                found.append(run)
        return found

    def sharing(self) -> list[str]:
        """Return the runs that use the shared cluster now, or may any moment."""
        names = []
        for run in self.active():
            mode = (run.get("status") or {}).get("mode") or run["spec"].get("mode")
            if mode in (None, "static"):
                names.append(run["metadata"]["name"])
        return names

    def pods(self, component: str) -> list[Object]:
        """Return the pods of a component that run, of runs and of the release, oldest first."""
        found = self.kube.list("pods", f"app.kubernetes.io/component={component}")
        running = [pod for pod in found if pod["status"].get("phase") == "Running"]
        return sorted(running, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


def container_id(pod: Object) -> str:
    """Return the bare ID of a pod's only container, "" while it does not run."""
    for status in pod["status"].get("containerStatuses") or []:
        if "running" in (status.get("state") or {}):
            return str(status.get("containerID", "")).rpartition("/")[2]
    return ""

"""How soon status says why a run cannot start, measured against what Kubernetes said and when."""

import time
from datetime import datetime
from typing import Any

import flows
import harm
from kube import Kube, eventually
from troubles import HOLD, ONCE, STUCK, Stuck


def delays(kube: Kube) -> dict[str, tuple[dict[str, Any], float]]:
    """Return the first status with a reason of each stuck run, and the seconds since Kubernetes said it."""
    for name, case in STUCK.items():
        spec = {"source": {"files": [{"path": "flow.py", "content": HOLD}]}, **ONCE, **case.spec}
        kube.create("flowruns", flows.flow_run(name, flow="flow.py:main", **spec))
    found: dict[str, tuple[dict[str, Any], float]] = {}

    def look() -> bool:
        for name in STUCK.keys() - found.keys():
            status = kube.run_status(name)
            if status.get("reason"):
                found[name] = status, time.time()
        return len(found) == len(STUCK)

    eventually(look, 90, lambda: str(STUCK.keys() - found.keys()))
    said = {name: _said_at(kube, name, case) for name, case in STUCK.items()}
    for name in STUCK:
        flows.cancel(kube, name)
    for name in STUCK:
        kube.wait_run(name, timeout=60)
    return {name: (status, moment - said[name]) for name, (status, moment) in found.items()}


def refused_at(kube: Kube, job: str) -> float:
    """Return when the Job controller first told that a Job's pod is not admitted; 0 before it has."""
    times = [
        datetime.fromisoformat(event["firstTimestamp"]).timestamp()
        for event in kube.list("events")
        if event["involvedObject"]["name"] == job and event["reason"] == "FailedCreate"
    ]
    return min(times, default=0.0)


def _said_at(kube: Kube, run: str, case: Stuck) -> float:
    """Return when Kubernetes first told, in UNIX seconds, by the events of the run's pods."""
    pods = {p["metadata"]["name"] for p in harm.pods_of(kube, run, case.component)}
    times = [
        datetime.fromisoformat(event.get("eventTime") or event["firstTimestamp"]).timestamp()
        for event in kube.list("events")
        if event["involvedObject"]["name"] in pods and event["type"] == "Warning"
    ]
    return min(times)

"""What must hold after every test, whatever it did."""

from collections import Counter
from typing import Any

from kube import Kube, eventually

MANAGED = "app.kubernetes.io/managed-by=dask-flows-agent"
TERMINAL = ("Succeeded", "Failed", "Cancelled")


def check(kube: Kube, timeout: float = 60) -> None:
    """Fail unless every run ended with a reason and nothing but finished Jobs is left of them."""
    eventually(lambda: not violations(kube), timeout, lambda: "; ".join(violations(kube)))


def violations(kube: Kube) -> list[str]:
    """Name each broken rule."""
    runs = {run["metadata"]["uid"]: run for run in kube.list("flowruns")}
    found = [line for run in runs.values() for line in _run_rules(run)]
    found += _left_over(kube, runs)
    jobs = Counter(
        (job["metadata"]["labels"]["dask-flows.dev/run-uid"], job["metadata"]["labels"]["dask-flows.dev/attempt"])
        for job in kube.list("jobs", MANAGED)
    )  # fmt: skip
    found += [f"{count} Jobs for attempt {key}" for key, count in jobs.items() if count > 1]
    return found


def _run_rules(run: dict[str, Any]) -> list[str]:
    name, status = run["metadata"]["name"], run.get("status") or {}
    if status.get("phase") not in TERMINAL:
        return [f"{name} is {status.get('phase')}"]
    if status["phase"] != "Succeeded" and not (status.get("reason") and status.get("message")):
        return [f"{name} is {status['phase']} without reason and message"]
    return []


def _left_over(kube: Kube, runs: dict[str, Any]) -> list[str]:
    lines = []
    for kind in ("pods", "services", "configmaps", "secrets", "jobs"):
        for obj in kube.list(kind, MANAGED):
            name, uid = obj["metadata"]["name"], obj["metadata"]["labels"]["dask-flows.dev/run-uid"]
            if uid not in runs:
                lines.append(f"{kind}/{name} has no FlowRun")
            elif (
                kind == "pods"
                and obj["metadata"]["labels"]["app.kubernetes.io/component"] == "runner"
            ):
                if obj["status"]["phase"] not in ("Succeeded", "Failed"):
                    lines.append(f"{kind}/{name} still runs")
            elif kind == "jobs" and not _finished(obj):
                lines.append(f"{kind}/{name} is not finished")
            elif kind != "jobs":
                lines.append(f"{kind}/{name} is left")
    return lines


def _finished(job: dict[str, Any]) -> bool:
    conditions = job["status"].get("conditions") or []
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)

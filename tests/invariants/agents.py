"""Read what the agents in a namespace's pods have left: their logs, their memory, and since when they run."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from invariants.evidence import Agent, Object
from kube import Kube

AGENT = "app.kubernetes.io/component=agent"
PROC = Path("/proc")


def in_pods(kube: Kube) -> list[Agent]:
    """Return the agents whose pods are there; those of pods that are gone have left nothing."""
    return [
        Agent(f"{pod['metadata']['name']} ({which})", text, peak)
        for pod in kube.list("pods", AGENT)
        for which, text, peak in _containers(kube, pod)
    ]


def since(pods: list[Object]) -> str:
    """Return when the youngest agent that runs began, as Kubernetes writes it; empty if none runs."""
    states = [status.get("state") or {} for pod in pods for status in _statuses(pod)]
    return max((str(s["running"]["startedAt"]) for s in states if "running" in s), default="")


def processes(container: str, proc: Path = PROC) -> Iterator[int]:
    """Yield the processes of a container of this machine's own node."""
    assert len(container) == 64, container  # an empty one would be in every path
    for folder in proc.iterdir():
        if folder.name.isdecimal() and belongs(int(folder.name), container, proc):
            yield int(folder.name)


def belongs(pid: int, container: str, proc: Path = PROC) -> bool:
    """Whether a process is one of a container."""
    with suppress(OSError):
        return container in (proc / str(pid) / "cgroup").read_text()
    return False


def peak_mib(container: str, proc: Path = PROC) -> float | None:
    """Return the largest resident set of any process of a container; None where it has none here."""
    peaks = [kib(pid, "VmHWM", proc) for pid in processes(container, proc)]
    return max(peaks) / 1024 if any(peaks) else None


def kib(pid: int, key: str, proc: Path = PROC) -> int:
    """Return a figure of ``/proc/PID/status`` in KiB; 0 for a process that has ended."""
    with suppress(OSError):
        for line in (proc / str(pid) / "status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1])
    return 0


def _containers(kube: Kube, pod: Object) -> Iterator[tuple[str, str, float | None]]:
    """Yield the present container and the one before it, as far as Kubernetes keeps them."""
    for status in _statuses(pod):
        if "waiting" not in (status.get("state") or {"waiting": {}}):
            container = str(status.get("containerID", "")).rpartition("/")[2]
            yield "now", _log(kube, pod, status), peak_mib(container)
        if "terminated" in (status.get("lastState") or {}):
            yield "before", _log(kube, pod, status, "--previous"), None


def _log(kube: Kube, pod: Object, status: Object, *which: str) -> str:
    name = pod["metadata"]["name"]
    try:
        return kube.logs(name, "-c", status["name"], "--tail=-1", *which)
    except AssertionError:
        # A pod may go meanwhile, and the log of a container that has ended before its pod does.
        there = kube.get("pods", name)
        if there is not None and "deletionTimestamp" not in there["metadata"] and not which:
            raise
        return ""


def _statuses(pod: Object) -> list[Object]:
    found: list[Object] = pod["status"].get("containerStatuses") or []
    return found

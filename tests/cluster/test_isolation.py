"""Who reaches the cluster of a run: the NetworkPolicy of each attempt, on a network that enforces policies."""

import json

import flows
import harm
from kube import Kube, eventually, kubectl
from release import IMAGE, Release

# Moves data from worker to worker, tells where they listen, and holds on until it may end.
HOLDS = """
import json, os, time
from distributed import get_client

def main():
    client = get_client()
    client.wait_for_workers(2, timeout=60)
    workers = list(client.scheduler_info()["workers"])
    parts = [client.submit(bytes, 1000 + n, workers=[w]) for n, w in enumerate(workers)]
    size = client.submit(lambda *parts: sum(map(len, parts)), *parts).result()
    print("holding " + json.dumps(workers), flush=True)
    end = time.monotonic() + 240
    while not os.path.exists("/tmp/go"):
        assert time.monotonic() < end
        time.sleep(0.2)
    return size
"""
CONNECT = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def reach(address):
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except OSError:
        return False
    return True

with ThreadPoolExecutor(16) as pool:
    print(json.dumps(list(pool.map(reach, sys.argv[1:]))))
"""
SOON = 30.0  # seconds until a network has noticed that a policy is gone; ours needs one
VIEWER = {"app": "viewer"}


def stranger(kube: Kube, name: str, labels: dict[str, str]) -> str:
    """Start a pod that belongs to nobody, and wait until it runs; returns its name."""
    closed = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", "import time; time.sleep(600)"],
        "securityContext": closed,
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    kube.create("pods", {"metadata": {"name": name, "labels": labels}, "spec": spec})

    def running() -> bool:
        return bool((kube.get("pods", name) or {})["status"]["phase"] == "Running")

    eventually(running, 60, lambda: f"{name}: {kube.get('pods', name)}")
    return name


class Run:
    """A run that holds on, and the addresses of its cluster."""

    def __init__(self, kube: Kube, name: str) -> None:
        """Start it and wait until it has used its two workers."""
        self._kube, self._name = kube, name
        flows.inline(kube, name, HOLDS, workers={"replicas": 2})
        kube.wait_run(name, "Running", timeout=120)
        status = kube.run_status(name)
        self.base = str(status["clusterName"])

        def told() -> str:
            lines = kube.logs(f"job/{status['jobName']}").splitlines()
            return "".join(line.partition("holding ")[2] for line in lines if "holding [" in line)

        self.workers = [a.partition("://")[2] for a in json.loads(eventually(told, 90))]
        pod = kube.get("pods", f"{self.base}-scheduler") or {}
        service = kube.get("services", f"{self.base}-scheduler") or {}
        self.hosts = [str(service["spec"]["clusterIP"]), str(pod["status"]["podIP"])]

    def addresses(self) -> set[str]:
        """Return all addresses: of the scheduler by its Service and its pod, and of the workers."""
        return {*self.scheduler(8786), *self.scheduler(8787), *self.workers}

    def scheduler(self, port: int) -> set[str]:
        """Return the addresses of one port of the scheduler."""
        return {f"{host}:{port}" for host in self.hosts}

    def reached(self, pod: str) -> set[str]:
        """Return the addresses to which a pod gets a connection."""
        tried = sorted(self.addresses())
        command = ["exec", "-n", self._kube.namespace, pod, "--", "python", "-c", CONNECT]
        said = kubectl(*command, *tried).splitlines()[-1]
        return {address for address, open_ in zip(tried, json.loads(said), strict=True) if open_}

    def own_pods(self) -> list[str]:
        """Return the runner and one worker."""
        worker = harm.pods_of(self._kube, self._name, "worker")[0]["metadata"]["name"]
        return [harm.runner_of(self._kube, self._name), str(worker)]

    def end(self) -> None:
        """Let it go; what it computed before is its result."""
        runner = harm.runner_of(self._kube, self._name)
        go = ["python", "-c", "open('/tmp/go', 'w')"]
        kubectl("exec", "-n", self._kube.namespace, runner, "--", *go)
        assert flows.result(self._kube.wait_run(self._name, timeout=90)) == 2001


def test_a_stranger_reaches_no_part_of_a_run(kube: Kube, release: Release) -> None:
    """Row 38: a pod that is not of the run gets no connection to its scheduler and workers; its own pods do.

    The policy is what keeps it out: once it is deleted the stranger gets through.
    """
    release.install("ephemeral")
    run = Run(kube, "closed")
    pod = stranger(kube, "stranger", {})

    for own in run.own_pods():
        assert run.reached(own) == run.addresses()
    assert run.reached(pod) == set()

    kubectl("delete", "networkpolicy", "-n", kube.namespace, run.base)
    eventually(lambda: run.reached(pod) == run.addresses(), SOON, lambda: f"{run.reached(pod)}")
    run.end()


def test_a_chosen_stranger_reaches_the_dashboard(kube: Kube, release: Release) -> None:
    """Row 38: with dashboardFrom a pod with that label reaches the dashboard and nothing else; others nothing."""
    peers = [{"podSelector": {"matchLabels": VIEWER}}]
    release.install("ephemeral", ephemeral={"networkPolicy": {"dashboardFrom": peers}})
    run = Run(kube, "seen")

    assert run.reached(stranger(kube, "viewer", VIEWER)) == run.scheduler(8787)
    assert run.reached(stranger(kube, "stranger", {})) == set()
    run.end()

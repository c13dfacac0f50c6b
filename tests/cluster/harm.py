"""What tests do to running pods: signals, evictions, doubles, and cut connections."""

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kube import Kube, eventually, kubectl

# Signals the children of process 1, which is tini: what the container is about.
SIGNAL = """
import os, sys
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        parent = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1]
    except FileNotFoundError:
        continue
    if parent == "1":
        os.kill(int(pid), int(sys.argv[1]))
"""


def pods_of(kube: Kube, run: str, component: str) -> list[dict[str, Any]]:
    """Return a run's pods of one component that are not ended."""
    selector = f"dask-flows.dev/run={run},app.kubernetes.io/component={component}"
    return [
        p for p in kube.list("pods", selector) if p["status"]["phase"] in ("Pending", "Running")
    ]


def runner_of(kube: Kube, run: str) -> str:
    """Return the name of a run's runner pod."""
    (pod,) = pods_of(kube, run, "runner")
    return str(pod["metadata"]["name"])


def signal(kube: Kube, pod: str, number: int) -> None:
    """Send a signal to the program in a pod."""
    kubectl("exec", "-n", kube.namespace, pod, "--", "python", "-c", SIGNAL, str(number))


def evict(kube: Kube, pod: str) -> None:
    """Evict a pod as ``kubectl drain`` does."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    kube.request("POST", kube.path("pods", f"{pod}/eviction"), body)


def double(kube: Kube, pod: str) -> str:
    """Start a copy of a pod, as a network split or a mistake may; returns its name."""
    found = kube.get("pods", pod)
    assert found is not None
    labels = {
        key: value
        for key, value in found["metadata"]["labels"].items()
        if "job-name" not in key and "controller-uid" not in key  # else its Job would end it
    }
    spec = {k: v for k, v in found["spec"].items() if k not in ("nodeName", "hostname")}
    kube.create("pods", {"metadata": {"name": f"{pod}-again", "labels": labels}, "spec": spec})
    return f"{pod}-again"


def wait_replaced(kube: Kube, run: str) -> None:
    """Wait until a run's first attempt is over, and then for 60 s at most until its Dask pods are gone."""

    def ended() -> bool:
        attempts = kube.run_status(run).get("attempts") or [{}]
        return bool(attempts[0].get("reason"))

    eventually(ended, 120, lambda: f"{run}: {kube.run_status(run)}")
    first = f"dask-flows.dev/run={run},dask-flows.dev/attempt=1"
    selector = f"{first},app.kubernetes.io/component!=runner"
    eventually(lambda: not kube.list("pods", selector), 60, lambda: f"{run}: pods are left")


@contextmanager
def without_right(kube: Kube, role: str, verb: str, resource: str) -> Iterator[None]:
    """Take one right out of a Role; it is back at the end."""
    rules = (kube.get("roles", role) or {})["rules"]
    (rule,) = (r for r in rules if resource in r["resources"] and verb in r["verbs"])
    others = [one for one in rule["resources"] if one != resource]
    less = {**rule, "resources": [resource], "verbs": [v for v in rule["verbs"] if v != verb]}
    kept = [*(r for r in rules if r is not rule), less]
    kept += [{**rule, "resources": others}] if others else []
    kube.patch("roles", role, {"rules": kept})
    try:
        yield
    finally:
        kube.patch("roles", role, {"rules": rules})


def answer_to_strangers() -> str:
    """Return how the API server answers a question without credentials, as an HTTP status."""
    where = "jsonpath={.clusters[0].cluster.server}"
    url = kubectl("config", "view", "--minify", "-o", where).strip() + "/api/v1/namespaces"
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=30, context=trusting) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return str(error.code)


def restarts(kube: Kube, pod: str) -> int:
    """Return how often a pod's container was started again."""
    found = kube.get("pods", pod)
    statuses = (found or {}).get("status", {}).get("containerStatuses") or [{}]
    return int(statuses[0].get("restartCount") or 0)


class Cut:
    """Drop all packets between two pods, on the node that this machine is."""

    def __init__(self, kube: Kube, pod: str, other: str) -> None:
        self._pid = _process_of(kube, pod)
        pod_ip = (kube.get("pods", other) or {})["status"]["podIP"]
        # Inside the pod packets still go to the Service: the node translates them later.
        service = (kube.get("services", other) or {}).get("spec") or {}
        self._addresses = [str(ip) for ip in (pod_ip, service.get("clusterIP")) if ip]

    def __enter__(self) -> None:
        """Cut."""
        self._rules("-I")

    def __exit__(self, *_: object) -> None:
        """Heal; a pod that is gone has taken its rules along."""
        self._rules("-D", check=False)

    def _rules(self, verb: str, *, check: bool = True) -> None:
        sides = (("INPUT", "-s"), ("OUTPUT", "-d"))
        for chain, side, address in ((*one, ip) for one in sides for ip in self._addresses):
            rule = ["iptables", verb, chain, side, address, "-j", "DROP"]
            subprocess.run(
                ["nsenter", "-t", self._pid, "-n", *rule], check=check, capture_output=True
            )


def _process_of(kube: Kube, pod: str) -> str:
    """Return the process ID of a pod's container on this machine."""
    found = kube.get("pods", pod)
    assert found is not None, pod
    uid = found["metadata"]["uid"]

    def seek() -> str:
        for path in Path("/proc").glob("[0-9]*/cgroup"):
            try:
                text = path.read_text()
            except OSError:
                continue
            if uid in text or uid.replace("-", "_") in text:
                return path.parent.name
        return ""

    return str(eventually(seek, 10, lambda: json.dumps(found["status"])))

"""The namespaces, nodes and objects that the cases need, and their removal."""

import json
import re
import urllib.error
from collections.abc import Mapping
from typing import Any

from dask_flows import names
from kube import Kube
from recordings.plan import Case
from recordings.watching import Object, Seen

RUN_UID = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"
SLOT = "recordings.dask-flows.dev/slot"
LOST_AFTER = 2  # seconds that a pod stays on a node that is unreachable
GRACE = 2


class Lab:
    """Where cases are played: one free namespace, one with a quota, limits and Pod Security."""

    def __init__(self, kube: Kube, strict: Kube, image: str) -> None:
        self.kube = kube
        self.strict = strict
        self.image = image
        self.version = ""
        self.node = ""
        self.lost, self.removed = f"{kube.namespace}-lost", f"{kube.namespace}-removed"
        self.low, self.high = f"{kube.namespace}-low", f"{kube.namespace}-high"

    def build(self) -> None:
        """Make what cases share."""
        self.version = self.kube.request("GET", "/version")["gitVersion"]
        self.node = _schedulable(self.kube.request("GET", "/api/v1/nodes")["items"])
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        for kube, own in ((self.kube, {}), (self.strict, labels)):
            self._post("/api/v1/namespaces", "Namespace", kube.namespace, labels=own)
            kube.create("configmaps", {"metadata": {"name": "settings"}, "data": {"one": "1"}})
        path = f"/api/v1/namespaces/{self.strict.namespace}"
        self._post(f"{path}/resourcequotas", "ResourceQuota", "small",
                   spec={"hard": {"limits.memory": "64Mi"}})  # fmt: skip
        self._post(f"{path}/limitranges", "LimitRange", "modest",
                   spec={"limits": [{"type": "Container", "max": {"cpu": "2"}}]})  # fmt: skip
        for name, value in ((self.low, -10), (self.high, 10)):
            body = {"metadata": {"name": name}, "value": value}
            self.kube.request("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", body)
        self._advertise("1")

    def clear(self) -> None:
        """Remove everything again."""
        self._advertise(None)
        paths = [f"/apis/scheduling.k8s.io/v1/priorityclasses/{n}" for n in (self.low, self.high)]
        paths += [f"/api/v1/nodes/{node}" for node in (self.lost, self.removed)]
        paths += [f"/api/v1/namespaces/{kube.namespace}" for kube in (self.kube, self.strict)]
        for path in paths:
            self._forget(path)

    def key(self, case: Case) -> str:
        """Return what the names of the case's objects begin with."""
        return names.attempt_name(case.name, RUN_UID, 1)

    def make(self, case: Case) -> None:
        """Create the case's Job, or its bare pod if it is no runner."""
        kube = self.strict if case.strict else self.kube
        base = self.key(case)
        labels = names.attempt_labels(case.name, RUN_UID, 1, case.component)
        spec: Object = {"restartPolicy": "Never", "terminationGracePeriodSeconds": GRACE,
                        "enableServiceLinks": False, "automountServiceAccountToken": False,
                        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000,
                                            "seccompProfile": {"type": "RuntimeDefault"}}}  # fmt: skip
        container: Object = {
            "name": case.component, "image": self.image, "imagePullPolicy": "IfNotPresent",
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "command": ["tini", "--", "python", "-c", case.code],
            "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "128Mi", "cpu": "1"}},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }  # fmt: skip
        spec |= self._filled(case.pod)
        spec["containers"] = [container | self._filled(case.container)]
        if case.component != "runner":
            meta = {"name": f"{base}-{case.component}-0", "labels": labels}
            kube.create("pods", {"metadata": meta, "spec": spec})
            return
        job = {"parallelism": 1, "completions": 1, "backoffLimit": 0, "podReplacementPolicy": "Failed",
               "template": {"metadata": {"labels": labels}, "spec": spec}}  # fmt: skip
        kube.create("jobs", {"metadata": {"name": base, "labels": labels}, "spec": job})

    def remove(self, case: Case) -> None:
        """Delete the case's objects: they would take room from the others."""
        kube, base = (self.strict if case.strict else self.kube), self.key(case)
        kube.delete("jobs", base)
        for pod in kube.list("pods", f"{names.LABEL_RUN}={case.name}"):
            kube.delete("pods", pod["metadata"]["name"], grace=0)

    def nodes(self, seen: Seen) -> list[Object]:
        """Return the node of the case's pod."""
        name = (seen.pod.get("spec") or {}).get("nodeName")
        if not name:
            return []
        try:
            return [self.kube.request("GET", f"/api/v1/nodes/{name}")]
        except urllib.error.HTTPError:
            return []

    def texts(self, case: Case, seen: Seen) -> dict[str, str]:
        """Return the texts of this cluster and what stands for them in recordings."""
        base = self.key(case)
        pods = [*seen.pods.values(), *seen.gone.values()]
        told = " ".join(str(event["message"]) for event in seen.events.values())
        made = {pod["metadata"]["name"] for pod in pods} | set(
            re.findall(rf"{base}-[a-z0-9]{{5}}\b", told)
        )
        return {
            **{name: f"{base}-{number:05d}" for number, name in enumerate(sorted(made - {base}))
               if case.component == "runner"},
            self.lost: "node-2", self.removed: "node-3", self.node: "node-1", self.strict.namespace: "strict",
            self.low: "low", self.high: "high", self.kube.namespace: "flows",
            self.image: "registry.example.org/flows:1",
        }  # fmt: skip

    def add_fake_node(self, name: str) -> None:
        """Make a node that nobody speaks for: ready once, then silent."""
        now = self.kube.request("GET", f"/api/v1/nodes/{self.node}")["status"]["conditions"]
        ready = next(c for c in now if c["type"] == "Ready")
        taint = {"key": "recordings", "effect": "NoSchedule"}
        body = {"metadata": {"name": name}, "spec": {"taints": [taint]}}
        self.kube.request("POST", "/api/v1/nodes", body)
        status = {"conditions": [ready], "capacity": {"cpu": "1", "memory": "1Gi", "pods": "9"},
                  "allocatable": {"cpu": "1", "memory": "1Gi", "pods": "9"}}  # fmt: skip
        self._merge(f"/api/v1/nodes/{name}/status", {"status": status})

    def start_on_fake_node(self, pod: Object) -> None:
        """Say what a kubelet says of a pod that runs, once."""
        since = pod["metadata"]["creationTimestamp"]
        one = pod["spec"]["containers"][0]
        status = {
            "phase": "Running", "startTime": since,
            "conditions": [{"type": kind, "status": "True", "lastTransitionTime": since}
                           for kind in ("Ready", "ContainersReady", "PodScheduled")],
            "containerStatuses": [{"name": one["name"], "image": one["image"], "imageID": "", "ready": True,
                                   "restartCount": 0, "state": {"running": {"startedAt": since}}}],
        }  # fmt: skip
        self.kube.patch("pods", pod["metadata"]["name"], {"status": status}, sub="status")

    def remove_fake_node(self, name: str) -> None:
        """Delete it, as an autoscaler does."""
        self._forget(f"/api/v1/nodes/{name}")

    def evict(self, pod: Object) -> None:
        """Evict a pod as ``kubectl drain`` does."""
        name = pod["metadata"]["name"]
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        self.kube.request("POST", self.kube.path("pods", f"{name}/eviction"), body)

    def _advertise(self, slots: str | None) -> None:
        path = f"/api/v1/nodes/{self.node}/status"
        amounts = {SLOT: slots}
        self._merge(path, {"status": {"capacity": amounts, "allocatable": amounts}})

    def _filled(self, part: Mapping[str, Any]) -> Object:
        marks = {
            "@LOW": self.low,
            "@NODE": self.node,
            "@LOST": self.lost,
            "@REMOVED": self.removed,
            "@IMAGE": self.image,
        }
        text = json.dumps(part)
        for mark, name in marks.items():
            text = text.replace(mark, name)
        return dict(json.loads(text))

    def _post(self, path: str, kind: str, name: str, labels: Any = None, spec: Any = None) -> None:
        body = {"kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec or {}}
        self.kube.request("POST", path, {"apiVersion": "v1", **body})

    def _merge(self, path: str, body: Object) -> None:
        self.kube.request("PATCH", path, body, "application/merge-patch+json")

    def _forget(self, path: str) -> None:
        try:
            self.kube.request("DELETE", path)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise


def _schedulable(nodes: list[Object]) -> str:
    """Return a node that takes pods."""
    for node in nodes:
        ready = any(
            c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"]
        )
        if ready and not node["spec"].get("taints") and not node["spec"].get("unschedulable"):
            return str(node["metadata"]["name"])
    raise SystemExit("no node takes pods")

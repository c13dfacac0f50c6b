"""What the Job controller, the scheduler and the kubelet do, as far as tests lean on it.

``Nodes.run`` follows the fake API server and acts by itself: Jobs get a pod, pods start after
``start_after`` seconds, deleted pods end after ``end_after``, pods with an ``activeDeadlineSeconds`` are
failed, finished pods finish their Job. A pod whose name is in ``broken`` stays as that status says.
"""

import asyncio
from typing import Any

from dask_flows.deadline import parse_timestamp, timestamp
from dask_flows.kube.resources import JOBS, PODS, SECRETS
from fakes.api import FakeApi

Object = dict[str, Any]
TICK = 0.1


class Nodes:
    """A cluster that does what the fake API server says."""

    def __init__(self, api: FakeApi, *, start_after: float = 0.8, end_after: float = 0.5) -> None:
        self.api = api
        self.start_after = start_after
        self.end_after = end_after
        self.broken: dict[str, Object] = {}  # part of a pod's name -> its status
        self.no_pods = False  # as if a quota kept the Job controller from making any
        self.deaf: set[str] = set()  # pods whose program does not mind SIGTERM
        self.cut_off: set[str] = (
            set()
        )  # pods of a node that does not answer: nothing happens to them

    async def run(self) -> None:
        """Act for ever."""
        while True:
            self.tick()
            await asyncio.sleep(TICK)

    def tick(self) -> None:
        """Act once."""
        # Read in place, without copies: this runs ten times a second of virtual time.
        objects = sorted(self.api.store.objects.items())
        pods = [obj for (plural, _, _), obj in objects if plural == PODS.plural]
        for (plural, _, _), obj in objects:
            if plural == JOBS.plural:
                self._see_job(obj, [pod for pod in pods if _owner(pod) == obj["metadata"]["uid"]])
        for pod in pods:
            self._see_pod(pod)

    def end(self, pod: str, code: int, *, message: str = "", reason: str = "") -> None:
        """Let a pod's program end."""
        self._finish(self.api.read(PODS, pod), code, message=message, reason=reason)

    def _see_job(self, job: Object, pods: list[Object]) -> None:
        name = job["metadata"]["name"]
        if not pods and not self.no_pods and not job.get("status", {}).get("started"):
            self._make_pod(job)
            self.api.change(JOBS, name, {"status": {"started": True}})
        phases = [pod.get("status", {}).get("phase") for pod in pods]
        gone = not pods and job.get("status", {}).get("started")
        ended = all(phase in ("Succeeded", "Failed") for phase in phases)
        if job.get("status", {}).get("conditions") or not (gone or (pods and ended)):
            return
        kind = "Complete" if phases == ["Succeeded"] else "Failed"
        self.api.change(JOBS, name, {"status": {"conditions": [{"type": kind, "status": "True"}]}})

    def _make_pod(self, job: Object) -> None:
        template = job["spec"]["template"]
        name = f"{job['metadata']['name']}-{self.api.store.uid()[-5:]}"
        meta = {**template["metadata"], "name": name}
        meta["ownerReferences"] = [
            {"kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"],
             "controller": True}
        ]  # fmt: skip
        self.api.add(PODS, {"metadata": meta, "spec": template["spec"], "status": {}})

    def _see_pod(self, pod: Object) -> None:
        meta, status = pod["metadata"], pod.get("status") or {}
        phase = status.get("phase", "Pending")
        if meta["name"] in self.cut_off:
            return
        if phase in ("Succeeded", "Failed"):
            if "deletionTimestamp" in meta:
                self.api.remove(PODS, "ns", meta["name"], grace=0)
            return
        if "deletionTimestamp" in meta:
            if self._age(meta["deletionTimestamp"]) >= self.end_after:
                self.api.remove(PODS, "ns", meta["name"], grace=0)
        elif pod["spec"].get("activeDeadlineSeconds") and meta["name"] not in self.deaf:
            self._finish(pod, 143, pod_reason="DeadlineExceeded")
        elif phase == "Pending":
            self._start(pod)

    def _start(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        broken = next((s for part, s in self.broken.items() if part in name), None)
        if broken is not None:
            if pod.get("status") != {"phase": "Pending", **broken}:
                self.api.change(PODS, name, {"status": {"phase": "Pending", **broken}})
        elif self._age(pod["metadata"]["creationTimestamp"]) >= self.start_after and self._mounts(
            pod
        ):
            containers = [
                {"name": c["name"], "image": c["image"], "state": {"running": {}}}
                for c in pod["spec"]["containers"]
            ]
            status = {"phase": "Running", "containerStatuses": containers}
            self.api.change(PODS, name, {"status": status})

    def _mounts(self, pod: Object) -> bool:
        """Tell whether every Secret is there that the pod has as a volume."""
        wanted = [
            v["secret"]["secretName"] for v in pod["spec"].get("volumes") or () if "secret" in v
        ]
        return set(wanted) <= set(self.api.names(SECRETS))

    def _finish(
        self, pod: Object, code: int, *, message: str = "", reason: str = "", pod_reason: str = ""
    ) -> None:
        ended = {"exitCode": code, "reason": reason or ("Completed" if code == 0 else "Error")}
        ended["finishedAt"] = timestamp(self.api.clock.now())
        if message:
            ended["message"] = message
        containers = [
            {"name": c["name"], "image": c["image"], "state": {"terminated": ended}}
            for c in pod["spec"]["containers"]
        ]
        status = {
            "phase": "Succeeded" if code == 0 else "Failed",
            "containerStatuses": containers,
            **({"reason": pod_reason} if pod_reason else {}),
        }
        self.api.change(PODS, pod["metadata"]["name"], {"status": status})

    def _age(self, moment: str) -> float:
        return (self.api.clock.now() - parse_timestamp(moment)).total_seconds()


def _owner(pod: Object) -> str:
    return next((o["uid"] for o in pod["metadata"].get("ownerReferences") or []), "")

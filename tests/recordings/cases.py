"""Every way in which a pod cannot start, or ends, that a cluster can be made to show."""

from typing import Any

from recordings.lab import LOST_AFTER, SLOT, Lab
from recordings.plan import (
    Case,
    deleting,
    ended,
    job_failed,
    told,
    unschedulable,
    waits,
)
from recordings.watching import Seen

BUSY = {"requests": {"cpu": "900"}, "limits": {"cpu": "900"}}
ONE_SLOT = {"requests": {"cpu": "10m", SLOT: "1"}, "limits": {SLOT: "1"}}
TWO_CPUS = {"requests": {"cpu": "10m"}, "limits": {"cpu": "1"}}
EAT = "b = bytearray(2**30); b[::4096] = b'x' * len(b[::4096]); import time; time.sleep(60)"
FILL = "open('/scratch/x', 'wb').write(b'x' * 2**25); import time; time.sleep(600)"
PULL_ERRORS = ("ErrImagePull", "ImagePullBackOff")


def env_from(kind: str, name: str, key: str) -> dict[str, Any]:
    """Return a container with one variable from a Secret or ConfigMap."""
    return {"env": [{"name": "X", "valueFrom": {kind: {"name": name, "key": key}}}]}


def volume(**source: Any) -> dict[str, Any]:
    """Return a pod with one volume."""
    return {"volumes": [{"name": "x", **source}]}


MOUNT = {"volumeMounts": [{"name": "x", "mountPath": "/scratch"}]}


def kill(number: int) -> str:
    """Return a program that ends itself with a signal."""
    return f"import os; os.kill(os.getpid(), {number})"


def evict(lab: Lab, seen: Seen) -> None:
    """Evict the pod."""
    lab.evict(seen.pod)


def delete_pod(lab: Lab, seen: Seen) -> None:
    """Delete the pod as ``kubectl delete pod`` does."""
    lab.kube.delete("pods", seen.pod["metadata"]["name"])


def delete_job(lab: Lab, seen: Seen) -> None:
    """Delete the Job in the background."""
    lab.kube.delete("jobs", next(iter(seen.jobs.values()))["metadata"]["name"])


def shorten(lab: Lab, seen: Seen) -> None:
    """Give the pod one second, as the agent does with a runner that does not end."""
    body = {"spec": {"activeDeadlineSeconds": 1}}
    lab.kube.patch("pods", seen.pod["metadata"]["name"], body)


def shorten_job(lab: Lab, seen: Seen) -> None:
    """Give the Job one second."""
    name = next(iter(seen.jobs.values()))["metadata"]["name"]
    lab.kube.patch("jobs", name, {"spec": {"activeDeadlineSeconds": 1}})


def preempt(lab: Lab, seen: Seen) -> None:
    """Let a pod of higher priority want the only slot."""
    container = {"name": "main", "image": lab.image, "imagePullPolicy": "IfNotPresent",
                 "command": ["true"], "resources": ONE_SLOT}  # fmt: skip
    spec = {"priorityClassName": lab.high, "restartPolicy": "Never", "containers": [container]}
    lab.kube.create("pods", {"metadata": {"name": "more-important"}, "spec": spec})


def occupy(lab: Lab, seen: Seen) -> None:
    """Make the node that the pod is bound to, and let the pod run on it."""
    lab.add_fake_node(seen.pod["spec"]["nodeName"])
    lab.start_on_fake_node(seen.pod)


def remove_node(lab: Lab, seen: Seen) -> None:
    """Delete the pod's node, as an autoscaler does."""
    lab.remove_fake_node(seen.pod["spec"]["nodeName"])


def occupy_and_remove(lab: Lab, seen: Seen) -> None:
    """Do both."""
    occupy(lab, seen)
    remove_node(lab, seen)


def silent(seen: Seen) -> bool:
    """Whether the control plane says that the pod's node does not answer."""
    conditions = seen.pod.get("status", {}).get("conditions") or []
    return not deleting(seen) and any(
        c["type"] == "Ready" and c["status"] == "False" for c in conditions
    )


STARTING = [
    Case("image-not-found", "no such image in the registry", {"image-not-found": waits(*PULL_ERRORS)},
         container={"image": "registry.local/nothing:0"}),
    Case("image-name-invalid", "the image's name is none", {"image-name-invalid": waits("InvalidImageName")},
         container={"image": "Not/A Name"}),
    Case("image-never-pulled", "not on the node, and pullPolicy Never",
         {"image-never-pulled": waits("ErrImageNeverPull")},
         container={"image": "registry.local/nothing:0", "imagePullPolicy": "Never"}),
    Case("secret-missing", "a variable from a Secret that is not there",
         {"secret-missing": waits("CreateContainerConfigError")}, container=env_from("secretKeyRef", "db", "password")),
    Case("configmap-key-missing", "a variable from a key that the ConfigMap lacks",
         {"configmap-key-missing": waits("CreateContainerConfigError")},
         container=env_from("configMapKeyRef", "settings", "two")),
    Case("root-refused", "the pod must not be root and is",
         {"root-refused": waits("CreateContainerConfigError")},
         pod={"securityContext": {"runAsNonRoot": True, "runAsUser": 0}}),
    Case("volume-configmap-missing", "a volume from a ConfigMap that is not there: only an event says so",
         {"volume-configmap-missing": told("FailedMount")}, pod=volume(configMap={"name": "source"}), container=MOUNT),
    Case("volume-secret-missing", "a volume from a Secret that is not there: only an event says so",
         {"volume-secret-missing": told("FailedMount")}, pod=volume(secret={"secretName": "db"}), container=MOUNT),
    Case("claim-missing", "a volume from a claim that is not there", {"claim-missing": unschedulable},
         pod=volume(persistentVolumeClaim={"claimName": "data"}), container=MOUNT),
    Case("too-much-cpu", "no node is that large", {"too-much-cpu": unschedulable}, container={"resources": BUSY}),
    Case("node-selector", "no node has the label", {"node-selector": unschedulable},
         pod={"nodeSelector": {"no-such": "label"}}),
    Case("node-refuses", "the kubelet does not admit the pod", {"node-refuses": ended},
         pod={"nodeName": "@NODE"}, container={"resources": BUSY}),
    Case("program-missing", "the command is not in the image", {"program-missing": ended},
         container={"command": ["/no/such/program"]}),
    Case("init-fails", "an init container ends with an error", {"init-fails": ended},
         pod={"initContainers": [{"name": "prepare", "image": "@IMAGE",
                                  "command": ["sh", "-c", "echo no data; exit 3"],
                                  "terminationMessagePolicy": "FallbackToLogsOnError"}]}),
    Case("init-image", "the image of an init container is not there", {"init-image": waits(*PULL_ERRORS)},
         pod={"initContainers": [{"name": "prepare", "image": "registry.local/nothing:0"}]}),
    Case("worker-crashes", "a worker ends again and again", {"worker-crashes": waits("CrashLoopBackOff")},
         code="raise SystemExit('no scheduler')", component="worker", pod={"restartPolicy": "OnFailure"}),
    Case("worker-memory", "a worker is restarted for memory", {"worker-memory": waits("CrashLoopBackOff")},
         code=EAT, component="worker", pod={"restartPolicy": "OnFailure"}),
]  # fmt: skip
REFUSED = [
    Case("quota", "the quota has no room", {"quota": told("FailedCreate")}, strict=True),
    Case("quota-without-limit", "the quota wants a limit", {"quota-without-limit": told("FailedCreate")}, strict=True,
         container={"resources": TWO_CPUS}),
    Case("limit-range", "more than a container may have", {"limit-range": told("FailedCreate")}, strict=True,
         container={"resources": {"limits": {"cpu": "3", "memory": "32Mi"}}}),
    Case("pod-security", "not admitted to a restricted namespace", {"pod-security": told("FailedCreate")}, strict=True,
         container={"securityContext": {"privileged": True}}),
    Case("account-missing", "the service account is not there", {"account-missing": told("FailedCreate")},
         pod={"serviceAccountName": "nobody"}),
    Case("priority-missing", "the priority class is not there", {"priority-missing": told("FailedCreate")},
         pod={"priorityClassName": "no-such-class"}),
]  # fmt: skip
ENDING = [
    Case("succeeds", "it ends well", {"succeeds": ended}, code="print('done')"),
    Case("exits-1", "an exception", {"exits-1": ended}, code="raise ValueError('no such day')"),
    Case("exits-3", "an exit code of its own", {"exits-3": ended}, code="import os; os._exit(3)"),
    Case("sigkill", "killed by signal 9, not for memory", {"sigkill": ended}, code=kill(9)),
    Case("sigterm", "killed by signal 15", {"sigterm": ended}, code=kill(15)),
    Case("sigsegv", "killed by signal 11", {"sigsegv": ended}, code=kill(11)),
    Case("out-of-memory", "over its memory limit", {"out-of-memory": ended}, code=EAT),
    Case("evicted-by-api", "drained", {"evicted-by-api-ending": deleting, "evicted-by-api": ended}, act=evict),
    Case("volume-full", "over the sizeLimit of an emptyDir", {"volume-full": ended}, code=FILL, timeout=150,
         pod=volume(emptyDir={"sizeLimit": "8Mi"}), container=MOUNT),
    Case("disk-full", "over its limit of ephemeral storage", {"disk-full": ended}, timeout=150, code=FILL,
         pod=volume(emptyDir={}), container={
             **MOUNT, "resources": {"limits": {"ephemeral-storage": "8Mi", "memory": "128Mi"}}}),
    Case("preempted", "a more important pod takes its place", {"preempted-ending": deleting, "preempted": ended},
         pod={"priorityClassName": "@LOW"}, container={"resources": ONE_SLOT}, act=preempt),
    Case("pod-deleted", "somebody deletes the pod",
         {"pod-deleted-ending": deleting, "pod-deleted": ended, "pod-deleted-after": job_failed}, act=delete_pod),
    Case("job-deleted", "somebody deletes the Job",
         {"job-deleted-ending": deleting, "job-deleted": lambda seen: bool(seen.gone) and not seen.jobs},
         act=delete_job),
    Case("pod-deadline", "the pod's activeDeadlineSeconds", {"pod-deadline": ended}, act=shorten),
    Case("job-deadline", "the Job's activeDeadlineSeconds", {"job-deadline": job_failed}, act=shorten_job),
    Case("node-lost", "a node falls silent, its pods are told to go, then the node is removed",
         {"node-silent": silent, "node-lost-ending": deleting, "node-lost": ended}, timeout=240,
         pod={"nodeName": "@LOST", "tolerations": [
             {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
              "tolerationSeconds": LOST_AFTER}]},
         act=occupy, when=lambda seen: bool(seen.pods), after={"node-lost-ending": remove_node}),
    Case("node-removed", "a node is removed under its pod", {"node-removed": ended}, timeout=240,
         pod={"nodeName": "@REMOVED"}, act=occupy_and_remove, when=lambda seen: bool(seen.pods)),
]  # fmt: skip
# A scheduler is lost, whatever became of it: its pod is never started again.
LOST = [
    Case("scheduler-killed", "a scheduler is killed by signal 9", {"scheduler-killed": ended}, code=kill(9),
         component="scheduler"),
    Case("scheduler-memory", "a scheduler is over its memory limit", {"scheduler-memory": ended}, code=EAT,
         component="scheduler"),
    Case("scheduler-evicted", "a scheduler is drained", {"scheduler-evicted": ended}, component="scheduler", act=evict),
    Case("scheduler-deleted", "somebody deletes a scheduler", {"scheduler-deleted": deleting}, component="scheduler",
         act=delete_pod),
]  # fmt: skip
CASES = [*ENDING, *STARTING, *REFUSED, *LOST]

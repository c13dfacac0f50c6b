"""Flows to be disturbed, what is done to them, and what their runs must say."""

from collections.abc import Callable
from typing import Any, NamedTuple

import harm
from kube import Kube

# Many pods at once on a small node; none of them computes much.
SMALL = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
ONCE = {"retries": {"infrastructure": 0}}
HOLD = "import time\ndef main():\n    time.sleep(300)\n"
# Ends well when it is told to stop: what makes a drain look like success.
OBEDIENT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
time.sleep(300)
"""
OBEDIENT_FLOW = """
import signal, sys, time
def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    time.sleep(300)
"""
FILL = """
import time
def main():
    with open("/tmp/full", "wb") as file:
        file.write(b"x" * 2**26)
    time.sleep(300)
"""
SWELL = """
import time
def main():
    data = b"x" * 2**31
    time.sleep(300)
"""
MARKED = "print('imported', flush=True)\n" + HOLD
SIGKILL, SIGTERM, SIGSTOP = 9, 15, 19
TASKS = """
import time
from distributed import get_client
def slow(n):
    time.sleep(1)
    return n
def main():
    return sum(get_client().gather(get_client().map(slow, range(24), pure=False)))
"""
EAT = """
from distributed import get_client
def eat():
    return len(bytes(bytearray(2**30)))
def main():
    return get_client().submit(eat, retries=0).result()
"""
LOOK_AROUND = """
import os, ssl, urllib.error, urllib.request
from distributed import get_client
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
def look():
    url = "https://" + os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc") + "/api/v1/namespaces"
    try:
        urllib.request.urlopen(url, timeout=5, context=ssl._create_unverified_context())
        answer = "200"
    except urllib.error.HTTPError as error:
        answer = str(error.code)
    except OSError as error:
        answer = type(error).__name__
    return [os.path.exists(TOKEN), answer]
def main():
    return {"worker": get_client().submit(look, pure=False).result(), "runner": look()}
"""


class Case(NamedTuple):
    """A fault of a runner, and how the run must end."""

    code: str
    harm: Callable[[Kube, str], None]
    reason: str
    says: str


def delete_job(kube: Kube, name: str) -> None:
    """Delete a run's Job."""
    kube.delete("jobs", kube.run_status(name)["jobName"])


RUNNERS = {
    "sigkill": Case(HOLD, lambda kube, run: harm.signal(kube, harm.runner_of(kube, run), SIGKILL),
                    "FlowFailed", "signal 9"),
    "sigterm": Case(HOLD, lambda kube, run: harm.signal(kube, harm.runner_of(kube, run), SIGTERM),
                    "RunnerDeleted", "stopped from outside"),
    "drained": Case(OBEDIENT, lambda kube, run: harm.evict(kube, harm.runner_of(kube, run)),
                    "Evicted", "EvictionByEvictionAPI"),
    "drained-flow": Case(OBEDIENT_FLOW, lambda kube, run: harm.evict(kube, harm.runner_of(kube, run)),
                         "Evicted", "EvictionByEvictionAPI"),
    "job-gone": Case(HOLD, delete_job, "JobDeleted", "somebody deleted"),
    "memory": Case(SWELL, lambda kube, run: None, "OutOfMemory", "1Gi"),
    "disk": Case(FILL, lambda kube, run: None, "Evicted", "32Mi"),
}  # fmt: skip


class Stuck(NamedTuple):
    """A run that cannot start, and what of its objects says so."""

    spec: dict[str, Any]
    reason: str
    says: str
    component: str = "runner"


NO_IMAGE = {"image": "registry.local/nothing:0"}
HUGE = {"resources": {"requests": {"cpu": "900"}, "limits": {"cpu": "900"}}}
NO_SECRET = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
STUCK = {
    "image": Stuck({"runner": NO_IMAGE}, "ImagePull", "registry.local/nothing:0"),
    "image-s": Stuck({"mode": "ephemeral", "scheduler": NO_IMAGE}, "ImagePull", "nothing:0", "scheduler"),
    "image-w": Stuck({"mode": "ephemeral", "workers": NO_IMAGE}, "ImagePull", "nothing:0", "worker"),
    "cpu": Stuck({"runner": HUGE}, "Unschedulable", "Insufficient cpu"),
    "cpu-w": Stuck({"mode": "ephemeral", "workers": HUGE}, "Unschedulable", "Insufficient cpu", "worker"),
    "secret": Stuck({"env": [NO_SECRET]}, "ContainerStart", 'secret "db" not found'),
    "source": Stuck({"source": {"configMap": {"name": "not-there"}}}, "ContainerStart", '"not-there" not found'),
}  # fmt: skip

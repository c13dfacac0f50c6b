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
# Holds on in its first attempt, to be harmed there; the next one succeeds.
AGAIN = """
import os, time
def main():
    attempt = int(os.environ["DASK_FLOWS_ATTEMPT"])
    if attempt == 1:
        time.sleep(300)
    return attempt
"""
FILL_ONCE = """
import os, time
def main():
    attempt = int(os.environ["DASK_FLOWS_ATTEMPT"])
    if attempt == 1:
        with open("/tmp/full", "wb") as file:
            file.write(b"x" * 2**26)
        time.sleep(300)
    return attempt
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


class Hungry(NamedTuple):
    """A run with a task that ends every worker, and what the run then says."""

    spec: dict[str, Any]
    reason: str
    says: str


# Two ends are possible, and which one comes is a race of Dask, which gives a task up at the fourth worker, with the
# run's patience for a cluster without workers. Here neither is close: one death is enough, or the third begins a
# pause of the kubelet's, 20 s, that is longer than the patience of 15 s.
ONE_DEATH = {"name": "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "value": "0"}
TIGHT = {"resources": {"limits": {"memory": "300Mi", "cpu": "1"}}, "replicas": 1}
ON_TIGHT = {"code": EAT, "mode": "ephemeral", "workers": TIGHT}
HUNGRY = {
    "hungry-once": Hungry({**ON_TIGHT, "env": [ONE_DEATH]}, "FlowFailed",
                          "KilledWorker: 1 worker ended while running task eat-"),
    "hungry": Hungry(ON_TIGHT, "WorkersLost", "was lost while it ran eat (eat-"),
}  # fmt: skip


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


class Retried(NamedTuple):
    """A fault of a first attempt, the one budget that may pay for a second, and what the first must say."""

    code: str
    signal: int
    retries: dict[str, int]
    reason: str
    says: str


RETRIED = {
    # Without another word from Kubernetes, signal 9 is the end of the flow's own process.
    "killed-once": Retried(AGAIN, SIGKILL, {"limit": 1, "infrastructure": 0}, "FlowFailed", "signal 9"),
    "full-once": Retried(FILL_ONCE, 0, {"limit": 0, "infrastructure": 1}, "Evicted", "32Mi"),
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

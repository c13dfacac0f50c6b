"""The failpoints with the installed chart and real pods; the flows themselves count their beginnings.

Some releases live side by side, each with a chain of agents as on fake nodes (test_crashes.py): one dies at a
failpoint, the next one, with the next failpoint, goes on with what is left. A container that has died is started
again by its kubelet, and may die again. How soon a new pod's agent goes on is timed from the moment it is ready.
"""

import json
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from resumption import traces, waits_for_an_agent

import flows
import invariants
from dask_flows.agent.steps import STEPS
from dask_flows.flowrun import CLAIMED
from dask_flows.names import LABEL_ATTEMPT, LABEL_COMPONENT, LABEL_RUN
from invariants.counter import Counter, counting
from invariants.evidence import has_condition
from kube import Kube, Object, eventually, kubectl
from namespaces import make_namespace, remove_namespace
from release import CHART, Release
from troubles import NO_IMAGE, SMALL

CODE = """
from distributed import get_client


def main() -> int:
    return get_client().submit(pow, 3, 2).result()
"""
FAILS_ONCE = """
import os
from distributed import get_client


def main() -> int:
    if os.environ["DASK_FLOWS_ATTEMPT"] == "1":
        raise RuntimeError("only once")
    return get_client().submit(pow, 3, 2).result()
"""
HOLDS = """
import time


def main() -> None:
    print("holding", flush=True)
    time.sleep(300)
"""
# A runner ends in time whatever its flow does, unless it cannot do anything: once the agent knows
# that it runs, and before anybody reads its word, it is stopped.
FROZEN = """
import os
import signal
import time


def main() -> None:
    time.sleep(3)
    os.write(1, b"holding\\n")
    os.kill(os.getpid(), signal.SIGSTOP)
"""


class Story(NamedTuple):
    """A run that comes to a step, and how it ends."""

    code: str
    spec: dict[str, Any]
    end: str = "Succeeded"
    cancel_at: str = ""  # its reason, or what its log says


SUCCEEDS = Story(CODE, {})
# What a run that just succeeds consists of.
PLAIN = ("claim", "job", "secret", "start", "running", "finish", "ttl", "cleaned")
CLUSTER = (
    "service",
    "networkpolicy",
    "configmap",
    "scheduler",
    "worker",
    "delete-cluster",
    "delete-service",
    "delete-networkpolicy",
    "delete-configmap",
)
# What else a person, an error or a registry can lead to; the others are met on fake nodes or in memory.
STORIES = {
    "retry": Story(FAILS_ONCE, {"retries": {"limit": 1, "backoffSeconds": 1}}),
    "stop": Story(HOLDS, {}, "Cancelled", "holding"),
    "end-pod": Story(FROZEN, {}, "Cancelled", "holding"),
    "delete-job": Story(CODE, {"runner": NO_IMAGE}, "Cancelled", "ImagePull"),
    "hold": Story(CODE, {"suspend": True}),
    "report": Story(CODE, {"runner": NO_IMAGE}, "Cancelled"),
}
MODES = {"static": {*PLAIN, *STORIES}, "ephemeral": {*PLAIN, *STORIES, *CLUSTER}}
# After these the agent is next although Job and Secret are there: a pod asks, has failed, or does not obey.
DUE = (
    "report-before",
    "start-before",
    "running-before",
    "finish-before",
    "retry-before",
    "end-pod-before",
)
SIZES: dict[str, Any] = {
    "static": {"workers": {"replicas": 1, "minimum": 1}},
    "ephemeral": {"minimum": 1, "maximum": 1},
}
AGENT = f"{LABEL_COMPONENT}=agent"
KILLED = 137
CHAINS = 3  # of each mode, at the same time
RESUMED = 10.0  # seconds from the moment when the new agent is ready

pytestmark = pytest.mark.full


def points(mode: str) -> list[str]:
    """Return every failpoint of a mode, the last step first."""
    steps = [step for step in reversed(STEPS) if step in MODES[mode]]
    return [f"{step}:{moment}" for step in steps for moment in ("after", "before")]


def address(kube: Kube) -> str:
    """Return the address of a real node, which pods reach."""
    nodes = kube.request("GET", "/api/v1/nodes?labelSelector=type!=kwok")["items"]
    found = nodes[0]["status"]["addresses"]
    return next(str(one["address"]) for one in found if one["type"] == "InternalIP")


class Life(NamedTuple):
    """The agent's container as Kubernetes shows it."""

    pod: str
    restarts: int
    ready: bool
    dead: bool  # this one, or the one before it in this pod

    @classmethod
    def of(cls, pod: Object) -> "Life":
        """Read a pod."""
        status: dict[str, Any] = (pod["status"].get("containerStatuses") or [{}])[0]
        states = (status.get("state") or {}, status.get("lastState") or {})
        dead = any(state.get("terminated", {}).get("exitCode") == KILLED for state in states)
        count = int(status.get("restartCount") or 0)
        return cls(pod["metadata"]["uid"], count, bool(status.get("ready")), dead)


@dataclass
class Chain:
    """One agent after the other in a release of its own, each ending at its failpoint."""

    release: Release
    confession: str
    args: list[str] = field(default_factory=list)  # of the present agent
    ends: dict[str, str] = field(default_factory=dict)  # of each run: the right phase
    last: str = ""  # the run that was begun last
    resumed: dict[str, float] = field(
        default_factory=dict
    )  # seconds until the agent, being next, went on
    waited: dict[str, float] = field(default_factory=dict)  # the same where a pod was next

    @property
    def kube(self) -> Kube:
        """The release's namespace."""
        return self.release.kube

    def die_at(self, point: str) -> None:
        """Let the next agent take up what is left and then die at a failpoint."""
        step, name = point.partition(":")[0], point.replace(":", "-")
        self.replace_agent(point)
        if not self.died():
            self.begin(name, STORIES.get(step, SUCCEEDS))
        eventually(self.died, 120, lambda: f"{point}: {self.kube.run_status(name)}")

    def replace_agent(self, point: str = "") -> None:
        """Start a new pod with a failpoint or none, and see its agent go on with what waits for one, or die."""
        self.arm(point)
        eventually(self.agent, 120, lambda: kubectl("get", "pods", "-n", self.kube.namespace))
        # The one before is gone, and this one has not begun to look.
        runs = filter(waits_for_an_agent, self.kube.list("flowruns"))
        waiting = {run["metadata"]["name"]: run for run in runs}
        seen = traces(self.kube, waiting).items()
        # Where the status is another one by now, this one was quick, and has gone on.
        before = {name: trace for name, trace in seen if trace[0] == waiting[name].get("status")}
        due = {name for name, run in waiting.items() if self.is_next(run)}
        ready: dict[tuple[str, int], float] = {}

        def done() -> bool:
            life = self.agent()
            if life is None:
                return False
            moment = time.monotonic()
            if life.ready:
                ready.setdefault((life.pod, life.restarts), moment)
            now = traces(self.kube, before)
            for name in [name for name in before if now[name] != before[name]]:
                since = ready.get((life.pod, life.restarts), moment)
                (self.resumed if name in due else self.waited)[f"{name} by {point}"] = (
                    moment - since
                )
                del before[name]
            return life.dead or (life.ready and not before)

        eventually(done, 120, lambda: f"{point or 'the last agent'} does not go on with {before}")

    def arm(self, point: str) -> None:
        """Give the agent a failpoint or none, as only who may edit Deployments can."""
        name = f"{self.release.fullname}-agent"
        deployment = self.kube.get("deployments", name)
        assert deployment is not None
        args: list[str] = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        kept = args[: args.index("--failpoint")] if "--failpoint" in args else args
        self.args = [*kept, "--failpoint", point] if point else kept
        path = "/spec/template/spec/containers/0/args"
        patch = json.dumps([{"op": "replace", "path": path, "value": self.args}])
        kubectl(
            "patch", "deployment", name, "-n", self.kube.namespace, "--type", "json", "-p", patch
        )

    def agent(self) -> Life | None:
        """Return the agent with the present arguments; None while it is not there, or another one is."""
        pods = self.kube.list("pods", AGENT)
        mine = [pod for pod in pods if pod["spec"]["containers"][0].get("args") == self.args]
        return Life.of(mine[0]) if len(pods) == len(mine) == 1 else None

    def died(self) -> bool:
        """Whether the present agent has ended with 137."""
        life = self.agent()
        return life is not None and life.dead

    def is_next(self, run: Object) -> bool:
        """Whether the agent, and not the kubelet, the runner or the flow, has to do the next step of a run."""
        name, status = run["metadata"]["name"], run.get("status") or {}
        if (name == self.last and name in DUE) or status.get("phase") not in CLAIMED:
            return True
        if run["spec"].get("cancel"):
            return not has_condition(status, "Stopping")
        of_attempt = f"{LABEL_RUN}={name},{LABEL_ATTEMPT}={status['attempt']}"
        if not (self.kube.list("jobs", of_attempt) and self.kube.list("secrets", of_attempt)):
            return True
        pods = self.kube.list("pods", f"{of_attempt},{LABEL_COMPONENT}=runner")
        return any(pod["status"].get("phase") in ("Succeeded", "Failed") for pod in pods)

    def begin(self, name: str, story: Story) -> None:
        """Create a run that leads to a step, and do what a person has to do for that."""
        self.ends[name], self.last = story.end, name
        flows.inline(self.kube, name, story.code + self.confession, **story.spec)
        if story.cancel_at:
            eventually(lambda: self.died() or self.ripe(name, story.cancel_at), 120)
            flows.cancel(self.kube, name)

    def ripe(self, name: str, word: str) -> bool:
        """Whether a run has a reason, or its flow has said a word."""
        status = self.kube.run_status(name)
        runs = status.get("phase") == "Running"
        return status.get("reason") == word or (
            runs and word in self.kube.logs(f"job/{status['jobName']}")
        )

    def finish(self) -> None:
        """Let a last agent bring all runs to their ends."""
        self.replace_agent()
        for name, end in self.ends.items():
            if name.startswith("hold"):
                self.kube.patch("flowruns", name, {"spec": {"suspend": False}})
            if end == "Cancelled":
                flows.cancel(self.kube, name)
        for name, end in self.ends.items():
            status = self.kube.wait_run(name, timeout=180)
            assert status["phase"] == end, f"{name} ended otherwise: {status}"
            assert end != "Succeeded" or flows.result(status) == 9


def live(api: Kube, mode: str, share: Sequence[str], counter: Counter | None) -> Chain:
    """Play one chain in a namespace of its own; all invariants hold of it."""
    kube = make_namespace(api, f"deaths-{mode}")
    try:
        release = Release(kube)
        release.install(
            mode,
            runner={"resources": SMALL, "terminationGracePeriodSeconds": 5},
            dask={"scheduler": {"resources": SMALL}, "worker": {"resources": SMALL}},
            **{mode: SIZES[mode]},
        )
        chain = Chain(release, counter.confession() if counter else "")
        for point in share:
            chain.die_at(point)
        chain.finish()
        check(kube, counter, 3 * len(share))
    except AssertionError as error:
        log = kube.logs("-l", AGENT, "--tail=40")
        raise AssertionError(f"{mode}, {', '.join(share)}: {error}\n{log}") from error
    else:
        return chain
    finally:
        remove_namespace(kube)


@pytest.mark.parametrize("mode", MODES)
def test_every_failpoint_with_real_pods(api: Kube, mode: str) -> None:
    """Row 1: 137 at each; every run ends right, begun once, resumed in under 10 s by an agent that is ready."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CHART / "crds"))
    every = points(mode)
    shares = [every[number::CHAINS] for number in range(CHAINS)]
    with counting(address(api)) as counter, ThreadPoolExecutor(CHAINS) as pool:
        chains = list(pool.map(lambda share: live(api, mode, share, counter), shares))

    resumed = {name: took for chain in chains for name, took in chain.resumed.items()}
    waited = {name: took for chain in chains for name, took in chain.waited.items()}
    tell(f"{mode}: the agent was next", resumed)
    tell(f"{mode}: a pod was next", waited)
    assert len(resumed) >= len(every) // 3, "too few restarts could be timed"
    assert {name: took for name, took in resumed.items() if took >= RESUMED} == {}


def tell(what: str, took: dict[str, float]) -> None:
    """Print how long each resumption took."""
    half = statistics.median(took.values()) if took else 0.0
    print(f"{what}: {len(took)}, half within {half:.1f} s")  # noqa: T201 - a measurement
    for name, seconds in sorted(took.items(), key=lambda one: -one[1]):
        print(f"  {seconds:5.1f} s  {name}")  # noqa: T201 - a measurement


def check(kube: Kube, counter: Counter | None, restarts: int) -> None:
    """Fail unless all invariants hold; a container that restarts dies more often than it is armed."""
    assert counter or "CI" not in os.environ, "flows must be able to say themselves that they begin"
    runs = [run["metadata"]["uid"] for run in kube.list("flowruns")]
    starts = counter.starts if counter else None
    invariants.check(kube, starts=starts, counted=runs if counter else (), restarts=restarts)

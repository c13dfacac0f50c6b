"""The agent as a process ends before and after each of its writes, on a real API server; the next one goes on.

A life is a chain: an agent with a failpoint ends with 137, and the next one, with the next failpoint, first
takes up what is left. The steps come in reverse, so that taking up seldom meets the next failpoint early;
if it does, that death counts too. Nodes and runners are played (kwok).

How soon the next one goes on is measured for every run that waits for an agent: from the start of the process
to what it first writes for this run. An agent that dies before that has not gone on; the one after it is timed.
"""

import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from resumption import traces, waits_for_an_agent

from dask_flows.agent.status import claimed
from dask_flows.agent.steps import STEPS
from dask_flows.flowrun import FlowRun
from dask_flows.names import (
    ANNOTATION_TARGET,
    LABEL_COMPONENT,
)
from flows import cancel
from harm import without_right
from kube import Object, eventually
from kwok.agent import AgentProcess
from kwok.driver import Play, Runner, playing
from kwok.nodes import LABEL, cut_off, own_nodes, remove
from kwok.site import ON_KWOK, Site, has_kwok, site, start_kwok

# Reached only in memory (tests/unit/agent/test_crashes.py), each for a reason.
NOT_HERE = {
    "progress": "played runners report one number of workers",
    "reserve": "played schedulers ask for no more workers",
}
ALONE = {"unreachable": "a node has to be silent for minutes: in a test of its own"}
ONLY_EPHEMERAL = {
    "service", "networkpolicy", "configmap", "scheduler", "worker",
    "delete-cluster", "delete-service", "delete-networkpolicy", "delete-configmap",
}  # fmt: skip
ONLY_STATIC = {"delete-pause"}  # the same in both modes, and read before each claim in this one
MISSING = "registry.local/dask-flows:missing"
SPECS: dict[str, dict[str, Any]] = {
    "retry": {"retries": {"limit": 1, "backoffSeconds": 1}},
    "hold": {"suspend": True},
    "report": {"image": MISSING},
    "delete-job": {"image": MISSING},
}
CANCELLED = ("report", "delete-job", "stop", "end-pod")
KILLED = 137
CHAINS = 4  # of each mode, at the same time
RESUMED = 10.0  # seconds from the restart


@pytest.fixture(scope="module", autouse=True)
def fake_nodes() -> None:
    """Fake nodes, started if they are not there."""
    if not has_kwok():
        start_kwok()


def points(mode: str) -> list[str]:
    """Return every failpoint of a mode, the last step first."""
    missing = {*NOT_HERE, *ALONE} | (ONLY_EPHEMERAL if mode == "static" else ONLY_STATIC)
    steps = [step for step in reversed(STEPS) if step not in missing]
    return [f"{step}:{moment}" for step in steps for moment in ("after", "before")]


@dataclass
class Chain:
    """One agent after the other in one namespace, each ending at its failpoint."""

    here: Site
    agent: AgentProcess
    ends: dict[str, str] = field(default_factory=dict)  # of each run: the right phase
    wrong: list[str] = field(default_factory=list)
    resumed: list[tuple[float, str]] = field(default_factory=list)  # seconds, and of which run

    def die_at(self, point: str, name: str = "") -> None:
        """Let the next agent take up what is left and then die at a failpoint."""
        step, name = point.partition(":")[0], name or point.replace(":", "-")
        self.prepare(step, name)
        with self.missing_right() if step == "blocked" else nullcontext():
            self.start("--failpoint", point)
            if self.agent.running and name not in self.ends:
                self.begin(name, step)
            try:
                code = self.agent.wait_end(60)
            except subprocess.TimeoutExpired:
                self.agent.kill()
                self.wrong.append(f"{point}: never reached")
                return
        if code != KILLED:
            self.wrong.append(f"{point}: the agent ended with {code}\n{self.agent.text[-1000:]}")

    def missing_right(self) -> AbstractContextManager[None]:
        """Take the right away without which an agent cannot clean up."""
        role = self.here.account.rpartition(":")[2]
        return without_right(self.here.kube, role, "patch", "jobs")

    def prepare(self, step: str, name: str) -> None:
        """Leave what an agent must find at its start to come to a step, or take away what it must miss."""
        match step:
            case "delete-pause":  # an agent looks for it as soon as it starts
                self.pause()
            case "replan":
                self.claim_elsewhere(name)
            case "token":  # written by whoever comes after such a death
                self.die_at("job:after", name)

    def start(self, *args: str) -> None:
        """Start an agent and see it go on with every run that waits for one, or die."""
        kube = self.here.kube
        names = [r["metadata"]["name"] for r in kube.list("flowruns") if waits_for_an_agent(r)]
        before = traces(kube, names)
        begin = time.monotonic()
        self.agent.start(*args)
        eventually(self.up, 60, lambda: self.agent.text[-2000:])

        def done() -> bool:
            alive = self.agent.running  # before the look: what it wrote until its death counts
            now = traces(kube, before)
            for name in [name for name in before if now[name] != before[name]]:
                self.resumed.append((time.monotonic() - begin, name))
                del before[name]
            return not before or not alive

        eventually(done, 60, lambda: f"nobody goes on with {before}")

    def up(self) -> bool:
        """Whether the agent is ready, or has died already."""
        try:
            return not self.agent.running or bool(self.agent.get("/readyz"))
        except OSError:
            return False

    def begin(self, name: str, step: str) -> None:
        """Create a run that leads to a step, and do what a person has to do for that."""
        kube = self.here.kube
        self.ends[name] = "Cancelled" if step in CANCELLED else "Succeeded"
        self.here.create(name, **SPECS.get(step, {}))
        if step == "delete-job":
            self.until(name, lambda status: status.get("reason") == "ImagePull")
        elif step in CANCELLED and step != "report":
            self.until(name, lambda status: status.get("phase") == "Running")
        if step in CANCELLED and step != "report":
            cancel(kube, name)

    def until(self, name: str, reached: Callable[[Object], bool]) -> None:
        """Wait for a status, or for the death of the agent."""
        kube = self.here.kube
        eventually(lambda: not self.agent.running or reached(kube.run_status(name)), 60)

    def pause(self) -> None:
        """Leave the Lease of the upgrade that led to this agent."""
        config = yaml.safe_load((self.here.folder / "config.yaml").read_text())
        annotations = {ANNOTATION_TARGET: config["configHash"]}
        body = {"metadata": {"name": config["pauseLease"], "annotations": annotations}}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **body}
        if self.here.kube.get("leases", config["pauseLease"]) is None:
            self.here.kube.create("leases", lease)

    def claim_elsewhere(self, name: str) -> None:
        """Leave a run that an agent has claimed in another mode before the release was switched."""
        other = "static" if self.here.mode == "ephemeral" else "ephemeral"
        run = FlowRun.parse(self.here.create(name))
        patch = claimed(run, other, (), datetime.now(UTC))
        self.here.kube.patch("flowruns", name, {"status": patch}, "status")
        self.ends[name] = "Succeeded"

    def finish(self) -> None:
        """Let a last agent bring all runs to their ends."""
        self.start()
        for name, end in self.ends.items():
            if name.startswith("hold"):
                self.here.kube.patch("flowruns", name, {"spec": {"suspend": False}})
            if end == "Cancelled":
                cancel(self.here.kube, name)
        for name, end in self.ends.items():
            status = self.here.kube.wait_run(name, timeout=120)
            if status["phase"] != end:
                self.wrong.append(f"{name} ended {status['phase']} and not {end}: {status}")


def behave(runner: Runner) -> Play:
    """Fail once where a retry is wanted; do not mind a stop where the pod has to be ended."""
    if runner.run.startswith("retry") and runner.attempt == 1:
        return Play(seconds=0.5, exit_code=1)
    if runner.run.startswith(("stop", "end-pod")):
        return Play(ends=False, deaf=runner.run.startswith("end-pod"))
    return Play(seconds=0.5)


def live(mode: str, share: list[str]) -> Chain:
    """Play one chain; returns it with what was wrong, and how long each restart took."""
    with site("crash", mode=mode) as here, playing(here.namespace, behave) as driver:
        chain = Chain(here, here.agent())
        try:
            for point in share:
                chain.die_at(point)
            chain.finish()
            here.check(driver, chain.agent)
        except AssertionError as error:
            chain.wrong.append(f"{share}: {error}\n{chain.agent.text[-3000:]}")
        finally:
            chain.agent.stop()
        return chain


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
def test_every_failpoint_on_a_real_api_server(mode: str) -> None:
    """Row 1: exit 137 at each; every run ends right, resumed in under 10 s, all invariants hold."""
    every = points(mode)
    shares = [every[number::CHAINS] for number in range(CHAINS)]
    with ThreadPoolExecutor(CHAINS) as pool:
        chains = list(pool.map(lambda share: live(mode, share), shares))

    assert [line for chain in chains for line in chain.wrong] == []
    check_resumed(mode, [one for chain in chains for one in chain.resumed], len(every) // 2)


@pytest.mark.full
@pytest.mark.parametrize("mode", ["static", "ephemeral"])
def test_deaths_while_a_node_is_silent(mode: str) -> None:
    """The same where the agent says that a node does not answer; once the node is gone, a new attempt."""
    with own_nodes(2) as (group, _):
        runner = {**ON_KWOK, "nodeSelector": {"type": "kwok", LABEL: group}}
        # The cluster of the attempt lives elsewhere: those nodes do not say what their system is.
        dask = {**ON_KWOK, "nodeSelector": {"type": "kwok", "kubernetes.io/os": "linux"}}
        with (
            site(
                "silent", mode=mode, runner=runner, dask={"scheduler": dask, "worker": dask}
            ) as here,
            playing(here.namespace, lambda r: Play(ends=r.attempt > 1)) as driver,
        ):
            chain = Chain(here, here.agent())
            try:
                lose_a_node(chain)
                here.check(driver, chain.agent)
            finally:
                chain.agent.stop()
            check_resumed(f"a silent node, {mode}", chain.resumed, 1)


def lose_a_node(chain: Chain) -> None:
    """Let a node fall silent under a run and two agents die of that; then delete the node."""
    kube = chain.here.kube
    chain.start("--failpoint", "unreachable:before")
    chain.here.create("cut")
    kube.wait_run("cut", "Running")
    (pod,) = kube.list("pods", f"{LABEL_COMPONENT}=runner")
    cut_off(pod["spec"]["nodeName"])
    assert chain.agent.wait_end(180) == KILLED
    chain.start("--failpoint", "unreachable:after")
    assert chain.agent.wait_end(60) == KILLED
    (run,) = kube.list("flowruns")
    assert not waits_for_an_agent(run), run  # it says that the node does not answer
    chain.start()
    remove(pod["spec"]["nodeName"])
    ended = kube.wait_run("cut", timeout=240)
    assert (ended["phase"], ended["attempt"]) == ("Succeeded", 2), ended
    assert ended["attempts"][0]["reason"] == "NodeLost"


def check_resumed(what: str, resumed: list[tuple[float, str]], least: int) -> None:
    """Fail unless so many restarts were timed, each below the bound."""
    assert len(resumed) >= least, f"{what}: only {len(resumed)} restarts could be timed"
    half = statistics.median(seconds for seconds, _ in resumed)
    print(f"{what}: {len(resumed)} resumed, half within {half:.1f} s, slowest {max(resumed)}")  # noqa: T201 - a measurement
    assert [one for one in resumed if one[0] >= RESUMED] == []


def test_every_step_is_either_here_or_explained() -> None:
    """A new write of the agent must be tried here, or its reason be written down."""
    here = {point.partition(":")[0] for mode in ("static", "ephemeral") for point in points(mode)}

    assert here | set(NOT_HERE) | set(ALONE) == set(STEPS)

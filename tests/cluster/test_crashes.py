"""The agent as a process ends before and after each of its writes, on a real API server; the next one goes on.

A life is a chain: an agent with a failpoint ends with 137, and the next one, with the next failpoint, first
takes up what is left. The steps come in reverse, so that taking up seldom meets the next failpoint early;
if it does, that death counts too. Nodes and runners are played (kwok).
"""

import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from dask_flows.agent.steps import STEPS
from dask_flows.names import ANNOTATION_TARGET
from flows import cancel
from kube import Object, eventually
from kwok.agent import AgentProcess
from kwok.driver import Play, Runner, playing
from kwok.site import Site, has_kwok, site, start_kwok

# Reached only in memory (tests/unit/agent/test_crashes.py), each for a reason.
NOT_HERE = {
    "blocked": "a right would have to be taken away for a moment",
    "unreachable": "a fake node would have to fall silent under a run",
    "replan": "the release would have to be switched between two writes",
    "progress": "played runners report one number of workers",
    "reserve": "played schedulers ask for no more workers",
    "token": "agents would have to die of two failpoints in a row; whoever comes after job:after writes it",
}
ONLY_EPHEMERAL = {
    "service", "configmap", "scheduler", "worker",
    "delete-cluster", "delete-service", "delete-configmap",
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
    missing = set(NOT_HERE) | (ONLY_EPHEMERAL if mode == "static" else ONLY_STATIC)
    steps = [step for step in reversed(STEPS) if step not in missing]
    return [f"{step}:{moment}" for step in steps for moment in ("after", "before")]


@dataclass
class Chain:
    """One agent after the other in one namespace, each ending at its failpoint."""

    here: Site
    agent: AgentProcess
    ends: dict[str, str] = field(default_factory=dict)  # of each run: the right phase
    last: str = ""
    wrong: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")  # seconds until a run moved again, and which

    def die_at(self, point: str) -> None:
        """Let the next agent take up what is left and then die at a failpoint."""
        step = point.partition(":")[0]
        if step == "delete-pause":  # an agent looks for it as soon as it starts
            self.pause()
        self.start("--failpoint", point)
        if self.agent.running:
            self.begin(point.replace(":", "-"), step)
        try:
            code = self.agent.wait_end(60)
        except subprocess.TimeoutExpired:
            self.agent.kill()
            self.wrong.append(f"{point}: never reached")
        else:
            if code != KILLED:
                self.wrong.append(
                    f"{point}: the agent ended with {code}\n{self.agent.text[-1000:]}"
                )

    def start(self, *args: str) -> None:
        """Start an agent; it must take up the last run within some seconds, or die trying."""
        before = self.here.kube.get("flowruns", self.last) if self.last else None
        begin = time.monotonic()
        self.agent.start(*args)
        eventually(self.up, 60, lambda: self.agent.text[-2000:])
        if before is not None and not _settled(before):
            eventually(
                lambda: (
                    not self.agent.running or self.here.kube.get("flowruns", self.last) != before
                ),
                60,
                lambda: f"{self.last} does not move: {before}",
            )
            self.slowest = max(self.slowest, (time.monotonic() - begin, self.last))

    def up(self) -> bool:
        """Whether the agent is ready, or has died already."""
        try:
            return not self.agent.running or bool(self.agent.get("/readyz"))
        except OSError:
            return False

    def begin(self, name: str, step: str) -> None:
        """Create a run that leads to a step, and do what a person has to do for that."""
        kube, spec = self.here.kube, SPECS.get(step, {})
        self.ends[name], self.last = "Cancelled" if step in CANCELLED else "Succeeded", name
        self.here.create(name, **spec)
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


def _settled(run: Object) -> bool:
    """Whether nothing is to do: it is over and cleaned up, or it waits for a person or a flow."""
    status = run.get("status") or {}
    cleaned = any(c["type"] == "CleanedUp" for c in status.get("conditions") or [])
    over = status.get("phase") in ("Succeeded", "Failed", "Cancelled")
    return (over and cleaned) or status.get("phase") == "Suspended" or bool(status.get("reason"))


def behave(runner: Runner) -> Play:
    """Fail once where a retry is wanted; do not mind a stop where the pod has to be ended."""
    if runner.run.startswith("retry") and runner.attempt == 1:
        return Play(seconds=0.5, exit_code=1)
    if runner.run.startswith(("stop", "end-pod")):
        return Play(ends=False, deaf=runner.run.startswith("end-pod"))
    return Play(seconds=0.5)


def live(mode: str, share: list[str]) -> tuple[list[str], tuple[float, str]]:
    """Play one chain; returns what was wrong, and the slowest restart."""
    with site("crash", mode=mode) as here, playing(here.namespace, behave) as driver:
        chain = Chain(here, here.agent())
        try:
            for point in share:
                chain.die_at(point)
            chain.finish()
            here.check(driver, chain.agent)
        except AssertionError as error:
            chain.wrong.append(f"{chain.last}: {error}\n{chain.agent.text[-3000:]}")
        finally:
            chain.agent.stop()
        return chain.wrong, chain.slowest


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
def test_every_failpoint_on_a_real_api_server(mode: str) -> None:
    """Row 1: exit 137 at each; every run ends right, resumed in under 10 s, all invariants hold."""
    every = points(mode)
    shares = [every[number::CHAINS] for number in range(CHAINS)]
    with ThreadPoolExecutor(CHAINS) as pool:
        results = list(pool.map(lambda share: live(mode, share), shares))

    assert [line for wrong, _ in results for line in wrong] == []
    assert max(slowest for _, slowest in results) < (RESUMED, "")


def test_every_step_is_either_here_or_explained() -> None:
    """A new write of the agent must be tried here, or its reason be written down."""
    here = {point.partition(":")[0] for mode in ("static", "ephemeral") for point in points(mode)}

    assert here | set(NOT_HERE) == set(STEPS)

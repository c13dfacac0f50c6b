"""The second lane: many runs on fake nodes, whose runners are played, with an agent that is killed all the time.

Everything but the flows' own code is real: API server, Jobs, the agent, its channel. Nobody disturbs these
runs but the agent's death and outages of the cluster, so every one has to end exactly as its flow does.
"""

import time
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import invariants
from invariants.evidence import Agent
from kwok.agent import AgentProcess  # noqa: TC001 - the annotation of an attribute
from kwok.driver import Driver, Play, Runner, playing
from kwok.site import Site, site, start_kwok
from soak import judging
from soak.journal import Journal
from soak.schedule import CONTROL, MANY, Action
from soak.strikes import Strike, felt
from soak.world import PatientKube

TRIES = {"retries": {"limit": 2, "backoffSeconds": 1}}


@dataclass(frozen=True)
class Part:
    """What one kind of run asks for, what its runner plays, and how it must end."""

    play: Play = field(default_factory=Play)
    phase: str = "Succeeded"
    reason: str = ""
    spec: dict[str, Any] = field(default_factory=dict)


PARTS = {
    "succeed": Part(),
    "ephemeral": Part(spec={"mode": "ephemeral"}),
    "fail": Part(Play(exit_code=1), "Failed", "FlowFailed"),
    "flaky": Part(spec=TRIES),
    "silent": Part(Play(finishes=False)),
    "die": Part(
        Play(exit_code=137, finishes=False, records=False, container_reason="Error"),
        "Failed",
        "FlowFailed",
    ),
    "hang": Part(Play(ends=False), "Cancelled", "Cancelled"),
    "suspended": Part(spec={"suspend": True}),
}
REST = 180.0
LOOK = 1.0


def kind_of(name: str) -> str:
    """Return the kind of the run of this name."""
    return name.rpartition("-")[2]


def behave(runner: Runner) -> Play:
    """Return what the program of a runner does."""
    if kind_of(runner.run) == "flaky" and runner.attempt == 1:
        return Play(exit_code=1, seconds=0.2)
    return PARTS[kind_of(runner.run)].play


class Many:
    """The lane, from its namespace to what was found."""

    def __init__(self, journal: Journal) -> None:
        self.violations: list[str] = []
        self.broken: list[str] = []
        self.runs: list[dict[str, Any]] = []
        self.kills = 0
        self.starts = 0
        self.peak_mib = 0.0
        self._begun: list[Strike] = []  # each agent but the first
        self._journal = journal
        self._stack = ExitStack()
        self._pending: list[tuple[str, dict[str, Any]]] = []

    def __enter__(self) -> Self:
        """Set up the namespace, its driver and its agent."""
        assert start_kwok(), "there are no fake nodes: use our own cluster, or --without many"
        with ExitStack() as stack:
            self._here: Site = stack.enter_context(site("soak"))
            url, namespace = self._here.kube.url, self._here.namespace
            self._kube = self._here.kube = PatientKube(url, namespace)
            self._driver: Driver = stack.enter_context(playing(namespace, behave))
            self._agent: AgentProcess = stack.enter_context(self._here.agent())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Keep the agent's log, and take everything away."""
        self._journal.keep("logs/many-agent.log", self._agent.text)
        self._stack.close()

    def do(self, action: Action) -> None:
        """Carry out one action."""
        if action.verb == "kill":
            self._kill(action)
        else:
            self._burst(action)

    def finish(self, strikes: Iterable[Strike]) -> None:
        """Wait for rest and judge, by what struck the whole soak, too."""
        self._ask()
        if not self._agent.running:
            self._ended_itself()
        self._agent.wait_ready()
        end = time.monotonic() + REST
        while left := judging.unrest(self._kube.list("flowruns")):
            if time.monotonic() > end:
                self.violations.append(f"many: no rest within {REST:g} s: {'; '.join(left[:20])}")
                break
            time.sleep(LOOK)
        self.runs = self._kube.list("flowruns")
        self.peak_mib = self._agent.peak_mib()
        self._judge([*self._begun, *(one for one in strikes if one.what == CONTROL)])

    def _kill(self, action: Action) -> None:
        if not self._agent.running:
            self._ended_itself()
        else:
            self._agent.kill()
            self.kills += 1
            self._journal.note(action, "killed", f"pid {self._agent.pid}")
            self._start()

    def _ended_itself(self) -> None:
        tail = "\n".join(self._agent.text.splitlines()[-15:])
        self.violations.append(f"many: the agent ended by itself:\n{tail}")
        self._start()

    def _start(self) -> None:
        now = time.time()
        self._begun.append(Strike(MANY, now, now))
        self._agent.start()

    def _burst(self, action: Action) -> None:
        self._ask()
        for number, kind in enumerate(action.kind.split()):
            name = f"{action.target}-{number}-{kind}"
            self._here.create(name, **PARTS[kind].spec)
            if kind == "hang":
                self._pending.append((name, {"cancel": True}))
            elif kind == "suspended":
                self._pending.append((name, {"suspend": False}))
        self._journal.note(action, "created", f"{len(action.kind.split())} runs")

    def _ask(self) -> None:
        """Cancel and resume what came with earlier bursts."""
        for name, change in self._pending:
            self._kube.patch("flowruns", name, {"spec": change})
        self._pending = []

    def _judge(self, strikes: Collection[Strike]) -> None:
        for run in self.runs:
            name, status = run["metadata"]["name"], run.get("status") or {}
            part = PARTS[kind_of(name)]
            end = (status.get("phase"), status.get("reason") or "")
            if end != (part.phase, part.reason):
                text = status.get("message")
                self.violations.append(f"many: {name} ended {end} and not as it should: {text}")
        starts = [
            invariants.Start(uid, attempt, "")
            for (uid, attempt), count in self._driver.starts.items()
            for _ in range(count)
        ]
        self.starts = len(starts)
        counted = [run["metadata"]["uid"] for run in self.runs]
        agents = [Agent("their agent", peak_mib=self.peak_mib)]  # its log is judged with all others
        faults = felt(self.runs, strikes)
        found = invariants.violations(
            self._kube, starts=starts, counted=counted, faults=faults, agents=agents
        )
        self.violations += [f"many: {line}" for line in found]
        unproven = judging.unproven(invariants.unproven(self._kube))
        self.broken += [f"many: {line}" for line in unproven]

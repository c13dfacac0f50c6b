"""A soak from its namespace to its verdict."""

import argparse
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml
from onenode.paths import from_environ

import invariants
from invariants.evidence import KINDS, MANAGED, Agent, Evidence
from invariants.rules import left
from kube import Object, eventually, kubectl, proxy
from namespaces import make_namespace
from release import CHART, IMAGE
from soak import counter, judging, release_lane, report
from soak.faults import CLUSTER
from soak.journal import Journal
from soak.lanes import Lanes
from soak.many import Many
from soak.report import Result
from soak.schedule import AGENT as AGENT_LANE
from soak.schedule import MANY, Action
from soak.strikes import Strike, felt
from soak.watching import SILENT, History, Keeper, Memory, Readiness
from soak.world import AGENT, PatientKube, World

REST = 180.0  # seconds until nothing moves any more
READY = 120.0
LOOK = 0.5


class Soak:
    """One soak; ``run`` does all of it."""

    def __init__(self, actions: list[Action], options: argparse.Namespace, folder: Path) -> None:
        self._actions = actions
        self._options = options
        self._journal = Journal(folder)
        self._result = Result(options.seed, options.minutes, str(folder))

    def run(self, plan: str) -> Result:
        """Make the namespace, let it happen, judge, keep the evidence, take it all away."""
        self._journal.keep("schedule.txt", plan)
        with proxy() as url:
            kube = make_namespace(PatientKube(url, "default"), "soak")
            assert isinstance(kube, PatientKube)
            try:
                # A copy: the checkout may change under a long soak.
                chart = shutil.copytree(CHART, self._journal.folder / "chart")
                self._in_namespace(World(kube, self._journal, chart))
            except Exception as error:  # noqa: BLE001 - the verdict tells it, beside what was found
                self._journal.keep("broken/soak.txt", traceback.format_exc())
                self._result.broken.append(f"it ended early: {error!r}"[:1000])
            finally:
                # Before the rest: whatever may go wrong from here on, the verdict is there.
                self._journal.keep("result.json", self._result.to_dict())
                if not self._options.keep:
                    # Kubernetes may take a while over thousands of objects: nobody waits for it.
                    kubectl("delete", "namespace", kube.namespace, "--wait=false")
        return self._result

    def _in_namespace(self, world: World) -> None:
        paths = from_environ(os.environ)
        keeper = Keeper(paths.log / "pods", world.kube.namespace, self._journal.folder / "logs")
        keeper.start()
        try:
            with ExitStack() as stack:
                many = self._many(stack)
                self._from_install_to_verdict(world, many)
        finally:
            try:
                self._evidence(world, paths.audit_log)
            finally:
                self._result.broken += keeper.stop()
        self._result.violations += judging.tracebacks(self._journal.folder / "logs")

    def _many(self, stack: ExitStack) -> Many | None:
        wanted = any(action.lane == MANY for action in self._actions)
        return stack.enter_context(Many(self._journal)) if wanted else None

    def _from_install_to_verdict(self, world: World, many: Many | None) -> None:
        address = counter.install(world.kube, IMAGE)
        release_lane.install(world, "static")
        eventually(lambda: not _agent_missing(world), READY, lambda: "no agent is ready")
        history, ready = History(world.kube, self._journal), Readiness(world.kube)
        memory = Memory(lambda: ready.container)
        watchers = (history, ready, memory)
        for watcher in watchers:
            watcher.start()
        try:
            self._happen(world, address, many)
            self._settle(world)
            self._judge(world, ready, history, memory)
            if many is not None:
                many.finish(world.strikes)
                self._add(many)
        finally:
            self._result.broken += [line for watcher in watchers for line in watcher.stop()]

    def _add(self, many: Many) -> None:
        result = self._result
        result.violations += many.violations
        result.broken += many.broken
        result.many_runs, result.many_kills, result.many_starts, result.many_peak_mib = (
            len(many.runs), many.kills, many.starts, many.peak_mib,
        )  # fmt: skip

    def _happen(self, world: World, address: str, many: Many | None) -> None:
        seconds, announce = self._options.minutes * 60, self._options.announce
        lanes = Lanes(world, address, seconds, announce=announce, many=many)
        self._journal.begin()
        try:
            lanes.run(self._actions)
        except KeyboardInterrupt:
            lanes.stop()
            raise
        self._journal.mark("faults are over")
        lanes.catch_up(self._actions)
        self._result.broken += lanes.broken

    def _settle(self, world: World) -> None:
        """Let everything come to rest; what does not is a violation."""
        begin = time.monotonic()
        status = [sys.executable, str(CLUSTER), "status"]
        if subprocess.run(status, capture_output=True, check=False, timeout=60).returncode != 0:
            self._result.broken.append("a component of the cluster was down after the last fault")
            subprocess.run([sys.executable, str(CLUSTER), "up"], check=True, timeout=300)
        self._wait("the agent", READY, lambda: _agent_missing(world))
        outcome = release_lane.settle(world)
        self._journal.mark(f"the last upgrade: {outcome}")
        if outcome != "done":
            self._result.violations.append(f"the last upgrade was {outcome}")
        self._wait("rest", REST, lambda: judging.unrest(world.runs().values()))
        self._wait("no leftovers", REST, lambda: _left_over(world))
        self._wait("the agent", READY, lambda: _agent_missing(world))
        self._result.rest_seconds = time.monotonic() - begin

    def _judge(self, world: World, ready: Readiness, history: History, memory: Memory) -> None:
        result, runs = self._result, world.runs()
        result.broken += self._unseen(history, runs.values())
        seen = counter.starts(world.kube)
        self._journal.keep("starts.json", [vars(start) for start in seen])
        kinds = {name: run["metadata"]["labels"]["soak/kind"] for name, run in runs.items()}
        result.violations += judging.endings(runs, kinds, world.asked, world.hurt)
        result.violations += judging.starts(runs.values(), seen)
        begun = [Strike(AGENT_LANE, at, at) for at in ready.begun.values()]
        result.agent_peak_mib = memory.peak
        result.violations += self._invariants(world, seen, history, begun)
        result.violations += judging.lost(runs, world.created, world.asked)
        result.starts = len(seen)
        result.faults = dict(world.faults)
        result.longest_without_agent = ready.longest_gap()
        result.longest_recovery = ready.longest_recovery(world.blows)
        result.violations += judging.slow(result.longest_recovery)
        report.summed(result, list(runs.values()), len(world.created) - len(runs))
        self._journal.keep("hurt.json", world.hurt)
        for name in world.created:
            about = history.runs.get(name)
            if about and any(name in line for line in result.violations):
                self._journal.keep(f"violations/{name}.yaml", yaml.safe_dump(about))

    def _unseen(self, history: History, runs: Collection[Object]) -> list[str]:
        """Wait for what the watch still has to see; return what it never saw."""
        end = time.monotonic() + SILENT + LOOK  # so long an outage may go unnoticed by it
        while (found := history.lacks(runs)) and time.monotonic() < end:
            time.sleep(LOOK)
        return found

    def _invariants(
        self, world: World, seen: list[counter.Start], history: History, begun: list[Strike]
    ) -> list[str]:
        own = [invariants.Start(start.uid, start.attempt, start.pod) for start in seen]
        runs = list(world.runs().values())
        # What an agent did and could not remember, and what it could not know was done, is done again.
        faults = felt(runs, [*begun, *world.strikes])
        # Its logs are judged when all are kept.
        agents = [Agent("the agent", peak_mib=self._result.agent_peak_mib)]
        self._result.broken += judging.unproven(invariants.unproven(world.kube))
        return invariants.violations(
            world.kube, starts=own, counted=[run["metadata"]["uid"] for run in runs], faults=faults,
            agents=agents, watched=list(history.states),
        )  # fmt: skip

    def _wait(self, what: str, seconds: float, wrong: Callable[[], list[str]]) -> None:
        end = time.monotonic() + seconds
        while left := wrong():
            if time.monotonic() > end:
                found = f"{what}: not within {seconds:g} s: {'; '.join(left)}"
                self._result.violations.append(found)
                self._journal.mark(found)
                return
            time.sleep(LOOK)

    def _evidence(self, world: World, audit: Path) -> None:
        namespace = world.kube.namespace
        for kind in ("flowruns", "jobs", "pods", "events", "configmaps", "deployments"):
            text = kubectl("get", kind, "-n", namespace, "-o", "yaml", check=False)
            self._journal.keep(f"objects/{kind}.yaml", text)
        lines = _audit_lines(audit, namespace)
        self._journal.keep("audit.jsonl", "\n".join(lines))


def _left_over(world: World) -> list[str]:
    objects = [(kind, obj) for kind in KINDS for obj in world.kube.list(kind, MANAGED)]
    return list(left(Evidence(runs=list(world.runs().values()), objects=objects)))


def _agent_missing(world: World) -> list[str]:
    ready = [pod for pod in world.kube.list("pods", AGENT) if _ready(pod)]
    return [] if ready else ["no agent is ready"]


def _ready(pod: Object) -> bool:
    going = "deletionTimestamp" in pod["metadata"]
    statuses: list[dict[str, Any]] = pod["status"].get("containerStatuses") or []
    return not going and bool(statuses) and all(status["ready"] for status in statuses)


def _audit_lines(audit: Path, namespace: str) -> list[str]:
    """Return the namespace's lines of the API server's log, in the order of time."""
    files = [*sorted(audit.parent.glob("audit-*.log")), audit]
    found = []
    for file in files:
        if not file.exists():
            continue
        with file.open() as lines:
            found += [line.strip() for line in lines if f'"namespace":"{namespace}"' in line]
    # Not parsed: a server that was killed may have left half an entry.
    return sorted(found, key=lambda line: line.rpartition('"requestReceivedTimestamp":"')[2][:27])

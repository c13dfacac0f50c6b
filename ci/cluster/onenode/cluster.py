"""Bring the cluster up and down."""

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from onenode import (
    configs,
    images,
    kwok,
    leftovers,
    network,
    pki,
    prerequisites,
    probes,
    processes,
    shell,
    tools,
)
from onenode.components import Component, components
from onenode.errors import ClusterError, UsageError
from onenode.paths import Paths
from onenode.progress import Progress
from onenode.tools import Tool
from onenode.waiting import Clock, Probe, wait_for

LOCK_SECONDS = 3600.0
NODE_SECONDS = 60.0
TAIL_LINES = 15


@dataclass(frozen=True)
class Cluster:
    """Tie the parts together; every public method is a command."""

    paths: Paths
    progress: Progress
    clock: Clock

    @property
    def components(self) -> tuple[Component, ...]:
        return components(self.paths)

    def component(self, name: str) -> Component:
        """Return a component by name, or raise UsageError with the names there are."""
        for one in self.components:
            if one.name == name:
                return one
        names = ", ".join(one.name for one in self.components)
        raise UsageError(f"no component {name}", do=f"choose one of {names}")

    def build(self, only: Callable[[Tool], bool] = lambda _: True) -> None:
        """Build the programs that are missing or stale, by default all."""
        wanted = [tool for tool in tools.TOOLS if only(tool)]
        if tools.stale(wanted, self.paths):
            prerequisites.check_building()
            tools.clean_builds(self.paths)
            tools.build(wanted, self.paths, self.progress)

    def up(self, empty: bool = False) -> None:
        """Start what is not running, and return when pods can be made; `empty` forgets objects."""
        prerequisites.check_running()
        self.build(lambda tool: tool.for_cluster)
        if empty:
            self.down()
            shutil.rmtree(self.paths.etcd, ignore_errors=True)
        before = datetime.now(UTC).replace(microsecond=0)
        if not self._running():
            leftovers.clean(self.paths)
            network.check_free(one.ready for one in self.components)
        if pki.ensure(self.paths):
            processes.stop(reversed(self.components), self.paths)
        configs.write(self.paths)
        network.ensure()
        started = [name for wave in self._waves() for name in self._start(wave)]
        since = before if "kubelet" in started else None
        self._wait("node", lambda: probes.node_ready(self.paths, since), "kubelet", NODE_SECONDS)
        self._wait(
            "namespace default",
            lambda: probes.service_account_ready(self.paths),
            "controller-manager",
            NODE_SECONDS,
        )
        self.progress.say("the cluster is up" if started else "the cluster was up already")

    def down(self, wipe: bool = False) -> None:
        """Stop what `up` started and undo what it did to the machine; `wipe` forgets all state."""
        prerequisites.check_machine()
        self._stop([kwok.component(self.paths)])
        stopped = [name for wave in reversed(self._waves()) for name in self._stop(wave)]
        if stopped or network.present():  # else the machine's rules are somebody else's
            leftovers.clean(self.paths)
            self._clean_proxy()
            network.remove()
        if wipe:
            shutil.rmtree(self.paths.cluster, ignore_errors=True)
        self.progress.say("the cluster is down" if stopped else "the cluster was down already")

    def restart(self, name: str) -> None:
        """Stop and start one component."""
        component = self.component(name)
        self._stop([component])
        self._start([component])

    def kwok_up(self, nodes: int) -> None:
        """Start fake nodes beside the real one; returns when pods can run there."""
        self.build(lambda tool: tool.name == "kwok")
        kwok.write_config(self.paths)
        self._start([kwok.component(self.paths)])
        kwok.make_nodes(nodes, self.paths)
        self.progress.say(f"{nodes} fake nodes are ready")

    def kwok_down(self) -> None:
        """Remove the fake nodes and stop their process."""
        kwok.remove_nodes(self.paths)
        self._stop([kwok.component(self.paths)])

    def outage(self, name: str, seconds: float) -> None:
        """Stop one component for that long and start it again, whatever happens meanwhile."""
        component = self.component(name)
        try:
            self._stop([component])
            self.clock.sleep(seconds)
        finally:
            self._start([component])

    def states(self) -> Iterator[tuple[str, str, str]]:
        """Yield name, pid and complaint ("" for none) of every component."""
        fake = kwok.component(self.paths)
        shown = [fake] if processes.find(fake.name, self.paths) else []
        for component in (*self.components, *shown):
            record = processes.find(component.name, self.paths)
            if record is None:
                yield component.name, "-", "not running"
            else:
                complaint = probes.probe(component.ready, self.paths)()
                yield component.name, str(record.pid), complaint or ""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one command at a time change the cluster."""
        with self.paths.lock.open("w") as file:

            def probe() -> str | None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return "another `ci/cluster` command is at work"
                return None

            if complaint := probe():
                self.progress.say(f"waiting: {complaint}")
                wait_for("the lock", probe, LOCK_SECONDS, self.clock)
            yield

    def _waves(self) -> list[list[Component]]:
        numbers = sorted({one.wave for one in self.components})
        return [[one for one in self.components if one.wave == number] for number in numbers]

    def _running(self) -> bool:
        return any(processes.find(one.name, self.paths) for one in self.components)

    def _spec(self, component: Component) -> str:
        """Hash what a process was started from: arguments, configuration, binary, keys."""
        digest = hashlib.sha256(repr(component.argv).encode())
        files = [self.paths.config / name for name in component.config]
        for file in (*files, self.paths.stamps / component.tool):
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def _start(self, wave: list[Component]) -> list[str]:
        """Start those of a wave that are not running as they should, wait for all of it."""
        started = []
        for component in wave:
            spec = self._spec(component)
            record = processes.find(component.name, self.paths)
            if record and record.spec == spec:
                continue
            if record:
                self.progress.say(f"{component.name} changed: restarting it")
                processes.stop([component], self.paths)
            processes.start(component, spec, self.paths)
            started.append(component.name)
        for component in wave:
            probe = probes.probe(component.ready, self.paths)
            self._wait(component.name, probe, component.name, component.ready_seconds)
            if component.name == "containerd":
                images.ensure_pause(self.paths)
        if started:
            self.progress.say(f"ready: {', '.join(started)}")
        return started

    def _wait(self, what: str, probe: Probe, name: str, seconds: float) -> None:
        """Wait for a probe while a component lives; its log's end goes into the error."""
        ended = False

        def alive_and_ready() -> str | None:
            nonlocal ended
            ended = processes.find(name, self.paths) is None
            return None if ended else probe()

        try:
            wait_for(what, alive_and_ready, seconds, self.clock)
        except ClusterError as error:
            raise self._with_log(str(error), name) from error
        if ended:
            raise self._with_log(f"{name} ended", name)

    def _with_log(self, found: str, name: str) -> ClusterError:
        log = processes.log_path(name, self.paths)
        text = processes.tail(log, TAIL_LINES)
        return ClusterError(f"{found}\n--- the end of {log}\n{text}")

    def _stop(self, wave: list[Component]) -> list[str]:
        stopped = processes.stop(reversed(wave), self.paths)
        if stopped:
            self.progress.say(f"stopped: {', '.join(stopped)}")
        return stopped

    def _clean_proxy(self) -> None:
        """Remove kube-proxy's firewall rules; without them old Services would live on."""
        if (self.paths.bin / "hyperkube").exists():
            shell.attempt([self.paths.bin / "hyperkube", "kube-proxy", "--cleanup"])

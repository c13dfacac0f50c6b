"""Keep what would be gone afterwards: every state of every FlowRun, every log, and when the agent was ready.

What is kept is evidence: a watcher that fails says so in ``broken``, and goes on if it can.
"""

import http.client
import json
import os
import shutil
import threading
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from invariants.agents import peak_mib
from kube import PATHS, Kube
from soak.journal import Journal
from soak.strikes import begins
from soak.world import AGENT, container_id

SCAN = 0.2  # seconds, as all of these
AGAIN = 0.3
SAMPLE = 2.0
SILENT = 70.0
END = 30.0


class Watcher(threading.Thread, ABC):
    """Do a bit of work again and again, whatever happens to it; ``broken`` holds what went wrong."""

    def __init__(self, name: str, pause: float) -> None:
        super().__init__(daemon=True, name=name)
        self._over = threading.Event()
        self._pause = pause
        self._failures: dict[str, int] = {}

    @property
    def broken(self) -> list[str]:
        """What was not kept, one line each; a watcher that has ended before it was told to is one."""
        found = [f"{self.name} failed {n} times: {why}" for why, n in self._failures.items()]
        if not self._over.is_set() and not self.is_alive():
            found.append(f"{self.name} does not run: what happened without it is not kept")
        return found

    def run(self) -> None:
        """Work until told to stop."""
        while not self._over.wait(self._pause):
            try:
                self.work()
            except Exception as error:  # noqa: BLE001 - what it missed is said, and it must go on
                self.failed(error)

    @abstractmethod
    def work(self) -> None:
        """Do one round."""

    def failed(self, error: Exception) -> None:
        """Note that something was not kept."""
        why = repr(error)[:300]
        self._failures[why] = self._failures.get(why, 0) + 1

    def stop(self) -> list[str]:
        """Let it end after this round; returns what went wrong."""
        found = self.broken
        self._over.set()
        return found


class Keeper(Watcher):
    """Hold the log files of all pods of the namespace open, so that they outlive their pods."""

    def __init__(self, logs: Path, namespace: str, folder: Path) -> None:
        super().__init__("keeper of logs", SCAN)
        self._logs, self._prefix, self._folder = logs, f"{namespace}_", folder
        self._files: dict[tuple[int, int], tuple[str, int]] = {}

    def work(self) -> None:
        """Look for new files; a folder may vanish while it is looked into, and no other is missed by that."""
        for pod in _inside(self._logs):
            if pod.name.startswith(self._prefix):
                for path in (file for container in _inside(pod) for file in _inside(container)):
                    if path.suffix == ".log":
                        with suppress(FileNotFoundError):
                            self._hold(path)

    def _hold(self, path: Path) -> None:
        about = path.stat()
        key = (about.st_dev, about.st_ino)
        if key not in self._files:
            pod = path.parts[-3].removeprefix(self._prefix).rpartition("_")[0]
            name = f"{pod}.{path.parts[-3][-4:]}.{path.parts[-2]}.{path.stem}.log"
            self._files[key] = (name, os.open(path, os.O_RDONLY))

    def stop(self) -> list[str]:
        """Write all logs into the folder; returns what went wrong."""
        found = super().stop()
        if self.is_alive():
            self.join(END)
            if self.is_alive():
                found.append(
                    f"{self.name} did not end within {END:g} s: its last round is not kept"
                )
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, descriptor in self._files.values():
            with os.fdopen(descriptor, "rb") as source, (self._folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)
        return found


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


class Watch(Watcher):
    """Follow a collection for as long as the soak lasts, through outages."""

    def __init__(self, kube: Kube, kind: str, selector: str = "") -> None:
        super().__init__(f"watch of {kind}", AGAIN)
        self._url = f"{kube.url}{PATHS[kind]}/namespaces/{kube.namespace}/{kind}?watch=true"
        self._url += f"&labelSelector={selector}" if selector else ""
        self._heard = False
        self._refused = "no answer"

    @property
    def broken(self) -> list[str]:
        """As every watcher, and one that has never seen anything."""
        found = super().broken
        return found if self._heard else [*found, f"{self.name} has seen nothing: {self._refused}"]

    def work(self) -> None:
        """Hand every event on, from the state that is, until the stream ends."""
        for event in self._events():
            if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                self._heard = True
                try:
                    self.see(event["type"], event["object"])
                except Exception as error:  # noqa: BLE001 - one event must not cost those after it
                    self.failed(error)

    def _events(self) -> Iterator[dict[str, Any]]:
        """Yield events; an outage ends them, in the middle of a line if it comes so."""
        try:
            with urllib.request.urlopen(self._url, timeout=SILENT) as stream:
                for line in stream:
                    if line.endswith(b"\n"):
                        yield json.loads(line)
        except (OSError, http.client.HTTPException) as error:
            self._refused = repr(error)[:300]

    @abstractmethod
    def see(self, kind: str, obj: dict[str, Any]) -> None:
        """Take one event."""


class History(Watch):
    """Write every state of every FlowRun into a file."""

    def __init__(self, kube: Kube, journal: Journal) -> None:
        super().__init__(kube, "flowruns")
        self._journal = journal
        self._file = (journal.folder / "flowruns.jsonl").open("a")
        self._seen: set[tuple[str, str]] = set()
        self.runs: dict[str, dict[str, Any]] = {}
        self.states: list[dict[str, Any]] = []  # of all runs, without their specs

    def see(self, kind: str, obj: dict[str, Any]) -> None:
        """Write it once."""
        meta = obj["metadata"]
        key = (meta["uid"], meta["resourceVersion"] + kind * (kind == "DELETED"))
        if key in self._seen:
            return
        self._seen.add(key)
        self.runs[meta["name"]] = obj
        kept = ("name", "uid", "resourceVersion", "generation")
        about_it = {key: meta[key] for key in kept}
        self.states.append({"metadata": about_it, "status": obj.get("status") or {}})
        about = {
            "at": round(self._journal.now, 3),
            "event": kind,
            "run": meta["name"],
            "uid": meta["uid"],
        }
        changed = {"version": meta["resourceVersion"], "status": obj.get("status")}
        self._file.write(json.dumps({**about, **changed}) + "\n")
        self._file.flush()

    def lacks(self, runs: Iterable[dict[str, Any]]) -> list[str]:
        """Return one line for each run whose present state was not seen."""
        found = []
        for run in runs:
            meta = run["metadata"]
            if (meta["uid"], meta["resourceVersion"]) not in self._seen:
                found.append(f"{self.name} has not seen what {meta['name']} is now")
        return found


class Readiness(Watch):
    """Note when the agent is ready and when it is not."""

    def __init__(self, kube: Kube) -> None:
        super().__init__(kube, "pods", AGENT)
        self._newest = ""
        self.container = ""  # the one that runs now
        self.times: list[tuple[float, bool]] = [(time.monotonic(), True)]
        self.begun: dict[str, float] = {}  # when each agent's container began, on the wall clock

    def see(self, kind: str, obj: dict[str, Any]) -> None:
        """Note a change of whether the agent is ready, and each that begins."""
        statuses = obj["status"].get("containerStatuses") or []
        self.begun |= dict(begins(statuses))
        # There is one pod at a time, and an outage may hide that one has gone: the newest is the agent.
        if obj["metadata"]["creationTimestamp"] < self._newest:
            return
        self._newest = obj["metadata"]["creationTimestamp"]
        gone = kind == "DELETED"
        self.container = "" if gone else container_id(obj)
        ready = not gone and any(status.get("ready") for status in statuses)
        if self.times[-1][1] != ready:
            self.times.append((time.monotonic(), ready))

    def longest_recovery(self, blows: list[float]) -> float:
        """Return the longest time until an agent was ready again, in seconds.

        It counts from when none was, and anew from each blow that came before one was.
        """
        pairs = zip(self.times, self.times[1:], strict=False)
        gaps = [(lost, back) for (lost, ready), (back, _) in pairs if not ready]
        waits = [back - max([lost, *(b for b in blows if b <= back)]) for lost, back in gaps]
        return max(waits, default=0.0)

    def longest_gap(self) -> float:
        """Return the longest time without a ready agent, in seconds."""
        gaps = [
            end - begin
            for (begin, ready), (end, _) in zip(self.times, self.times[1:], strict=False)
            if not ready
        ]
        return max(gaps, default=0.0)


class Memory(Watcher):
    """Note the largest resident set of the agents while they live: the kernel forgets it with each."""

    def __init__(self, container: Callable[[], str]) -> None:
        super().__init__("memory of the agent", SAMPLE)
        self._container = container
        self.peak = 0.0  # MiB

    @property
    def broken(self) -> list[str]:
        """As every watcher, and one that has never found an agent's process."""
        found = super().broken
        return found if self.peak else [*found, f"{self.name} was never read"]

    def work(self) -> None:
        """Look at the agent that runs."""
        if container := self._container():
            self.peak = max(self.peak, peak_mib(container) or 0.0)

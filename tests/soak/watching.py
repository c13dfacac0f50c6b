"""Keep what would be gone afterwards: every state of every FlowRun, every log, and when the agent was ready."""

import json
import os
import shutil
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from kube import PATHS, Kube
from soak.journal import Journal
from soak.world import AGENT

SCAN = 0.2
SILENT = 70.0


class Keeper(threading.Thread):
    """Hold the log files of all pods of the namespace open, so that they outlive their pods."""

    def __init__(self, logs: Path, namespace: str, folder: Path) -> None:
        super().__init__(daemon=True, name="keeper")
        self._logs, self._prefix, self._folder = logs, f"{namespace}_", folder
        self._files: dict[tuple[int, int], tuple[str, int]] = {}
        self._over = threading.Event()

    def run(self) -> None:
        """Look for new files until told to stop."""
        while not self._over.wait(SCAN):
            for path in self._logs.glob(f"{self._prefix}*/*/*.log"):
                with suppress(FileNotFoundError):
                    self._hold(path)

    def _hold(self, path: Path) -> None:
        about = path.stat()
        key = (about.st_dev, about.st_ino)
        if key not in self._files:
            pod = path.parts[-3].removeprefix(self._prefix).rpartition("_")[0]
            name = f"{pod}.{path.parts[-3][-4:]}.{path.parts[-2]}.{path.stem}.log"
            self._files[key] = (name, os.open(path, os.O_RDONLY))

    def stop(self) -> None:
        """Write all logs into the folder."""
        self._over.set()
        self.join()
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, descriptor in self._files.values():
            with os.fdopen(descriptor, "rb") as source, (self._folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)


class Watch(threading.Thread):
    """Follow a collection for as long as the soak lasts, through outages."""

    def __init__(self, kube: Kube, kind: str, selector: str = "") -> None:
        super().__init__(daemon=True, name=f"watch {kind}")
        self._url = f"{kube.url}{PATHS[kind]}/namespaces/{kube.namespace}/{kind}?watch=true"
        self._url += f"&labelSelector={selector}" if selector else ""
        self._over = threading.Event()

    def run(self) -> None:
        """Hand every event on, again and again from the state that is."""
        while not self._over.is_set():
            with suppress(OSError, ValueError):
                for event in self._events():
                    if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                        self.see(event["type"], event["object"])
            self._over.wait(0.3)

    def _events(self) -> Iterator[dict[str, Any]]:
        with urllib.request.urlopen(self._url, timeout=SILENT) as stream:
            for line in stream:
                yield json.loads(line)

    def see(self, kind: str, obj: dict[str, Any]) -> None:
        """Take one event."""
        raise NotImplementedError

    def stop(self) -> None:
        """End with the next event or the next silence."""
        self._over.set()


class History(Watch):
    """Write every state of every FlowRun into a file."""

    def __init__(self, kube: Kube, journal: Journal) -> None:
        super().__init__(kube, "flowruns")
        self._journal = journal
        self._file = (journal.folder / "flowruns.jsonl").open("a")
        self._seen: set[tuple[str, str]] = set()
        self.runs: dict[str, dict[str, Any]] = {}

    def see(self, kind: str, obj: dict[str, Any]) -> None:
        """Write it once."""
        meta = obj["metadata"]
        key = (meta["uid"], meta["resourceVersion"] + kind * (kind == "DELETED"))
        if key in self._seen:
            return
        self._seen.add(key)
        self.runs[meta["name"]] = obj
        about = {
            "at": round(self._journal.now, 3),
            "event": kind,
            "run": meta["name"],
            "uid": meta["uid"],
        }
        changed = {"version": meta["resourceVersion"], "status": obj.get("status")}
        self._file.write(json.dumps({**about, **changed}) + "\n")
        self._file.flush()


class Readiness(Watch):
    """Note when the agent is ready and when it is not."""

    def __init__(self, kube: Kube) -> None:
        super().__init__(kube, "pods", AGENT)
        self._ready: dict[str, bool] = {}
        self.times: list[tuple[float, bool]] = [(time.monotonic(), True)]

    def see(self, kind: str, obj: dict[str, Any]) -> None:
        """Note a change of whether any agent is ready."""
        statuses = obj["status"].get("containerStatuses") or []
        ready = kind != "DELETED" and any(status.get("ready") for status in statuses)
        self._ready[obj["metadata"]["uid"]] = ready
        if self.times[-1][1] != any(self._ready.values()):
            self.times.append((time.monotonic(), any(self._ready.values())))

    def longest_recovery(self, blows: list[float]) -> float:
        """Return the longest time from the last blow before it until an agent was ready, in seconds."""
        if not blows:
            return 0.0
        recovered = [at for at, ready in self.times[1:] if ready]
        waits = [at - max(b for b in blows if b <= at) for at in recovered if min(blows) <= at]
        return max(waits, default=0.0)

    def longest_gap(self) -> float:
        """Return the longest time without a ready agent, in seconds."""
        gaps = [
            end - begin
            for (begin, ready), (end, _) in zip(self.times, self.times[1:], strict=False)
            if not ready
        ]
        return max(gaps, default=0.0)

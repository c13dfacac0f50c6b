"""Every version of a case's objects, by watches: what is there for an instant only must not be missed."""

import json
import queue
import threading
import urllib.request
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Self

from kube import PATHS, Kube

Object = dict[str, Any]
KINDS = ("jobs", "pods", "events")


@dataclass
class Seen:
    """The objects of one case at one moment; ``gone`` holds the last version of deleted pods."""

    jobs: dict[str, Object] = field(default_factory=dict)
    pods: dict[str, Object] = field(default_factory=dict)
    events: dict[str, Object] = field(default_factory=dict)
    gone: dict[str, Object] = field(default_factory=dict)

    @property
    def pod(self) -> Object:
        """Return the one pod, or an empty object."""
        return next(iter(self.pods.values()), {})

    def document(self, nodes: list[Object]) -> dict[str, Any]:
        """Return what a recording holds."""
        return {
            "job": next(iter(self.jobs.values()), None),
            "pods": list(self.pods.values()),
            "events": sorted(self.events.values(), key=lambda e: str(e["metadata"]["creationTimestamp"])),
            "nodes": nodes,
        }  # fmt: skip


class Watching:
    """Follow Jobs, pods and events whose name begins with a key."""

    def __init__(self, kube: Kube, key: str) -> None:
        self._kube = kube
        self._key = key
        self._queue: queue.Queue[tuple[str, str, Object]] = queue.Queue()
        self._open: list[Any] = []

    def __enter__(self) -> Self:
        """Open the watches."""
        for kind in KINDS:
            path = f"{PATHS[kind]}/namespaces/{self._kube.namespace}/{kind}?watch=1"
            answer = urllib.request.urlopen(self._kube.url + path)
            self._open.append(answer)
            threading.Thread(target=self._follow, args=(kind, answer), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let the threads go with the process: they end when the namespace's proxy does."""

    def _follow(self, kind: str, answer: Any) -> None:
        try:
            for line in answer:
                change = json.loads(line)
                self._queue.put((kind, change["type"], change["object"]))
        except (OSError, ValueError, AttributeError):
            return

    def snapshots(self, left: Callable[[], float]) -> Iterator[Seen]:
        """Yield the state after each change, until there is no time left."""
        seen = Seen()
        while (seconds := left()) > 0:
            try:
                kind, change, obj = self._queue.get(timeout=min(seconds, 0.5))
            except queue.Empty:
                yield deepcopy(seen)
                continue
            about = obj.get("involvedObject", obj.get("metadata", {}))
            if not str(about.get("name", "")).startswith(self._key):
                continue
            uid = obj["metadata"]["uid"]
            found: dict[str, Object] = getattr(seen, kind)
            if change == "DELETED":
                found.pop(uid, None)
                if kind == "pods":
                    seen.gone[uid] = obj
            else:
                found[uid] = obj
            yield deepcopy(seen)

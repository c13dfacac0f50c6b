"""The flows' own counter: a pod that notes who begins to run, and until when it lives.

Its log has a JSON line per start and one per end. Nothing of the product is between a flow and this record,
and no fault is aimed at it.
"""

import json
import textwrap
from dataclasses import dataclass
from typing import Any

from kube import Kube, eventually

NAME, PORT = "soak-counter", 7000

PROGRAM = textwrap.dedent(
    r"""
    import json, socketserver, sys, threading, time

    SILENT = 20  # seconds; a flow says twice a second that it lives
    lock = threading.Lock()

    def say(event, about, at):
        with lock:
            print(json.dumps({"event": event, "at": at, **about}), flush=True)

    class Handler(socketserver.StreamRequestHandler):
        timeout = SILENT

        def handle(self):
            line = self.rfile.readline()
            if not line.endswith(b"\n"):
                return  # a probe, or a flow that was killed as it began to speak
            about, last = json.loads(line), time.time()
            say("start", about, last)
            self.wfile.write(b"+")
            try:
                while self.connection.recv(64):
                    last = time.time()
            except OSError:
                pass
            say("end", about, last)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, request_queue_size = True, 64

    Server(("", int(sys.argv[1])), Handler).serve_forever()
    """
)


@dataclass(frozen=True)
class Start:
    """One time that a flow's own code began; ``last`` is when it was last alive, None if it still is."""

    uid: str
    attempt: int
    run: str
    pod: str
    at: float
    last: float | None = None


def install(kube: Kube, image: str) -> str:
    """Start the counter; returns its address."""
    kube.create("pods", _pod(image))
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": PORT}]},
    }  # fmt: skip
    address = kube.create("services", service)["spec"]["clusterIP"]
    eventually(lambda: _ready(kube.get("pods", NAME)), 120, lambda: str(kube.get("pods", NAME)))
    return str(address)


def starts(kube: Kube) -> list[Start]:
    """Read what the counter has seen, in the order of time."""
    return parse(kube.logs(NAME, "--tail=-1"))


def parse(log: str) -> list[Start]:
    """Read the counter's log."""
    found: dict[tuple[str, int, str, int], Start] = {}
    open_: dict[tuple[str, int, str], list[int]] = {}
    for number, line in enumerate(log.splitlines()):
        if not line.startswith("{"):
            continue  # a traceback
        said: dict[str, Any] = json.loads(line)
        event, at = said.pop("event"), float(said.pop("at"))
        key = (said["uid"], said["attempt"], said["pod"])
        if event == "start":
            found[(*key, number)] = Start(**said, at=at)
            open_.setdefault(key, []).append(number)
        else:
            index = (*key, open_[key].pop(0))
            found[index] = Start(**said, at=found[index].at, last=at)
    return sorted(found.values(), key=lambda start: start.at)


def _pod(image: str) -> dict[str, Any]:
    security = {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
        "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    container = {
        "name": "counter", "image": image, "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", PROGRAM, str(PORT)], "ports": [{"containerPort": PORT}],
        # No readiness probe: a kubelet that is young may take a whole period for its first one.
        "startupProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1, "failureThreshold": 60},
        "securityContext": security,
    }  # fmt: skip
    spec = {"containers": [container], "automountServiceAccountToken": False}
    meta = {"name": NAME, "labels": {"app": NAME}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def _ready(pod: dict[str, Any] | None) -> bool:
    conditions = (pod or {}).get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

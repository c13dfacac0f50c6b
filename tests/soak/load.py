"""The runs of a soak: a flow per kind, and how a run of it must end when nothing disturbs it."""

from dataclasses import dataclass, field
from typing import Any

# Every flow says first that it began, and to whom it belongs, and goes on saying that it lives. The answer
# is awaited, so a start that is not on record has not happened.
PRELUDE = """\
import json, os, socket, threading, time

def began(host, port):
    with open("/etc/dask-flows/attempt/attempt.json") as file:
        attempt = json.load(file)
    about = {"uid": attempt["uid"], "attempt": attempt["attempt"], "run": attempt["run"]}
    about["pod"] = os.environ["DASK_FLOWS_POD_UID"]
    peer = socket.create_connection((host, port), 30)
    peer.sendall(json.dumps(about).encode() + b"\\n")
    assert peer.recv(1) == b"+"
    threading.Thread(target=_alive, args=(peer,), daemon=True).start()
    return attempt["attempt"]

def _alive(peer):
    while True:
        time.sleep(0.5)
        peer.sendall(b".")

def main(host: str, port: int, n: int):
    attempt = began(host, port)
"""
ON_WORKERS = "    from distributed import get_client\n    client = get_client()\n"


@dataclass(frozen=True)
class Kind:
    """A flow and its end: phase and reason; ``spec`` is added to the FlowRun's."""

    body: str
    phase: str = "Succeeded"
    reason: str = ""
    spec: dict[str, Any] = field(default_factory=dict)

    def code(self) -> str:
        """Return the flow's whole source."""
        return PRELUDE + self.body


TRIED_AGAIN = {"retries": {"limit": 3, "backoffSeconds": 1}}
KINDS = {
    "succeed": Kind("    time.sleep(1)\n    return n * n\n"),
    "workers": Kind(
        ON_WORKERS + "    return client.submit(pow, n, 2).result()\n", spec=TRIED_AGAIN
    ),
    "long": Kind(
        ON_WORKERS
        + "    for _ in range(15):\n        client.submit(time.sleep, 1, pure=False).result()\n"
        + "    return client.submit(pow, n, 2).result()\n"
    ),
    "print": Kind(
        "    for _ in range(5000):\n        print('x' * 1023)\n    return n * n\n", spec=TRIED_AGAIN
    ),
    "fail": Kind("    raise ValueError('as it should')\n", "Failed", "FlowFailed"),
    "flaky": Kind(
        "    if attempt < 3:\n        raise ValueError(f'attempt {attempt} fails')\n    return n * n\n",
        spec={"retries": {"limit": 6, "backoffSeconds": 1}},
    ),
    "hang": Kind("    time.sleep(3600)\n", "Cancelled", "Cancelled"),
    "deadline": Kind(
        "    time.sleep(3600)\n", "Failed", "DeadlineExceeded", spec={"deadlineSeconds": 15}
    ),
    "suspended": Kind("    return n * n\n", spec={"suspend": True}),
    "deleted": Kind("    time.sleep(10)\n    return n * n\n"),
}  # fmt: skip


def number_of(name: str) -> int:
    """Return the parameter of the run of this name."""
    return int(name[1:5])


def flow_run(name: str, kind: str, mode: str, host: str, port: int) -> dict[str, Any]:
    """Return the FlowRun of an action."""
    files = [{"path": "flow.py", "content": KINDS[kind].code()}]
    spec: dict[str, Any] = {
        "flow": "flow.py:main",
        "source": {"files": files},
        "parameters": {"host": host, "port": port, "n": number_of(name)},
        **KINDS[kind].spec,
    }
    if mode:
        spec["mode"] = mode
    labels = {"soak/kind": kind}
    return {
        "apiVersion": "dask-flows.dev/v1alpha1",
        "kind": "FlowRun",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }

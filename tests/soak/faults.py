"""Carry out the actions of a schedule on the real cluster."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from onenode import processes
from onenode.paths import from_environ

from kube import Object
from soak import killing
from soak.schedule import Action
from soak.world import AGENT, RUN, World, container_id

CLUSTER = Path(__file__).parents[2] / "ci" / "cluster"
AFTERMATH = 10.0  # seconds; what has just come back knows nobody's rights yet, and has no quorum
NOBODY = "nobody there"
DONE = {"kill": "killed", "delete": "deleted", "evict": "evicted"}


def agent(world: World, action: Action) -> None:
    """Kill or freeze the agent's process, if one runs at this moment."""
    # Force leaves the pod's record until the API server is asked; a pod on its way out is no target.
    pods = [
        pod
        for pod in world.kube.list("pods", AGENT)
        if container_id(pod) and "deletionTimestamp" not in pod["metadata"]
    ]
    if not pods:
        world.journal.note(action, NOBODY)
        return
    pod = pods[0]
    if action.verb == "freeze":
        _freeze(world, action, pod)
        return
    killed = killing.send(container_id(pod), signal.SIGKILL)
    outcome = "killed" if killed else "it had just ended"
    if pod["status"]["containerStatuses"][0]["restartCount"]:
        # Kubernetes would wait longer before each further start: a new pod starts at once.
        world.kube.delete("pods", pod["metadata"]["name"], grace=0)
        outcome += ", pod replaced"
    if killed:
        world.count("agent killed")
        world.blow()
    world.journal.note(action, outcome, pod["metadata"]["name"])


def _freeze(world: World, action: Action, pod: Object) -> None:
    container, name = container_id(pod), pod["metadata"]["name"]
    with world.striking(action.lane):
        try:
            frozen = killing.send(container, signal.SIGSTOP)
            time.sleep(action.seconds)
        finally:
            killing.send(container, signal.SIGCONT)
    if frozen:
        world.count("agent frozen")
        world.blow()
    world.journal.note(action, "frozen and let go" if frozen else "it had just ended", name)


def pods(world: World, action: Action) -> None:
    """Kill, delete or evict one of the pods of a component."""
    found = world.pods(action.target)
    if not found:
        world.journal.note(action, NOBODY)
        return
    pod = found[int(action.pick * len(found))]
    name, run = pod["metadata"]["name"], pod["metadata"]["labels"].get(RUN)
    hit = [run] if run else world.sharing()
    # Noted before: what is asked for may happen although the answer is lost.
    world.hurting(hit, f"{action.verb} {action.target} {name}")
    world.count(f"{action.target} {DONE[action.verb]}")
    outcome = _POD_VERBS[action.verb](world, action, pod)
    if not run:  # a run that came meanwhile felt it, too
        world.hurting(set(world.sharing()) - set(hit), f"{action.verb} {action.target} {name}")
    world.journal.note(action, outcome, f"{name} ({', '.join(hit)})")


def _kill(world: World, action: Action, pod: Object) -> str:
    container = container_id(pod)
    return (
        "killed" if container and killing.send(container, signal.SIGKILL) else "it had just ended"
    )


def _delete(world: World, action: Action, pod: Object) -> str:
    grace = 0 if action.pick < 0.5 else None
    world.kube.delete("pods", pod["metadata"]["name"], grace=grace)
    return "deleted at once" if grace == 0 else "deleted"


def _evict(world: World, action: Action, pod: Object) -> str:
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    try:
        world.kube.request("POST", f"{world.kube.path('pods', name)}/eviction", eviction)
    except urllib.error.HTTPError as error:
        return f"refused: {error.msg[:100]}"
    return "evicted"


_POD_VERBS: dict[str, Callable[[World, Action, Object], str]] = {
    "kill": _kill, "delete": _delete, "evict": _evict,
}  # fmt: skip


def control(world: World, action: Action, announce: Path | None = None) -> None:
    """Stop a component of the cluster for some seconds, or kill it first."""
    if announce:
        announce.touch()
    try:
        with world.striking(action.lane, aftermath=AFTERMATH):
            done = _outage(action)
    finally:
        if announce:
            with suppress(OSError):
                announce.unlink()
    done_to_it = "killed" if action.verb == "kill" else "stopped"
    world.count(f"{action.target} {done_to_it}")
    world.blow()
    outcome = (
        f"{done_to_it} and started" if done.returncode == 0 else f"failed: {done.stderr[-300:]}"
    )
    world.journal.note(action, outcome, action.target)


def _outage(action: Action) -> subprocess.CompletedProcess[str]:
    found = processes.find(action.target, from_environ(os.environ))
    if action.verb == "kill" and found:
        os.kill(found.pid, signal.SIGKILL)
    command = [sys.executable, str(CLUSTER), "outage", action.target, f"{action.seconds:.2f}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

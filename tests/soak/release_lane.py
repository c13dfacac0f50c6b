"""Upgrades of the release in the middle of everything."""

import json
import subprocess

from release import HELM, IMAGE, image_values
from soak.schedule import Action
from soak.world import World

SMALL = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "768Mi"}}
SECONDS = 240
TRIES = 3
LAST_LINE = 200


def values(mode: str) -> dict[str, object]:
    """Return the values that a soak installs."""
    roles = {"scheduler": {"resources": SMALL}, "worker": {"resources": SMALL, "threads": 1}}
    return {
        "mode": mode,
        **image_values(IMAGE),
        "agent": {"allowModeOverride": True, "resources": {"requests": {"cpu": "10m"}}},
        "runner": {"resources": SMALL},
        "dask": roles,
        "static": {"workers": {"replicas": 2, "minimum": 1}},
        "ephemeral": {"minimum": 1, "maximum": 1},
        "upgrade": {"drainSeconds": 30},
    }


def install(world: World, mode: str) -> None:
    """Install the release."""
    text = json.dumps(values(mode))
    _helm(
        world, "install", world.instance, str(world.chart), "--values", "-", stdin=text, check=True
    )


def upgrade(world: World, action: Action) -> None:
    """Change the release; a switch that waits too long for runs is refused, and that is right."""
    settings = _settings(world, action)
    if action.target == "killed":
        outcome = _killed(world, action, settings)
    else:
        outcome = _upgrade(world, settings)
    world.half_made(outcome != "done")
    world.blow()
    world.count("upgrades" if outcome == "done" else f"upgrades {outcome.split(':')[0]}")
    world.journal.note(action, outcome, " ".join(settings))


def settle(world: World) -> str:
    """Upgrade once more, without any fault: that must work, at the latest when no run is left to wait for."""
    outcome = ""
    for _ in range(TRIES):
        outcome = _upgrade(world, ["mode=static", "agent.podAnnotations.soak=settled"])
        world.half_made(outcome != "done")
        world.blow()
        if outcome == "done":
            break
        world.journal.mark(f"the last upgrade: {outcome}")
    return outcome


def _settings(world: World, action: Action) -> list[str]:
    if action.target in ("mode", "killed"):
        return [f"mode={'ephemeral' if world.mode == 'static' else 'static'}"]
    if action.target == "workers":
        return [f"static.workers.replicas={1 + int(action.pick * 2)}"]
    return [f"agent.podAnnotations.soak=v{int(action.pick * 1e6)}"]


def _upgrade(world: World, settings: list[str]) -> str:
    _unlock(world)
    # A drain that is refused after long waiting still disturbs nobody; one that works replaces the cluster.
    output, code = _helm(world, *_command(world, settings))
    if code != 0:
        return f"refused: {output.strip().splitlines()[-1][:LAST_LINE] if output.strip() else code}"
    for setting in settings:
        if setting.startswith("mode="):
            world.mode = setting.removeprefix("mode=")
    return "done"


def _killed(world: World, action: Action, settings: list[str]) -> str:
    """Kill helm in the middle, as a lost terminal does."""
    _unlock(world)
    command = [HELM, *_command(world, settings), "-n", world.kube.namespace]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        process.communicate(timeout=action.seconds)
        world.mode = settings[0].removeprefix("mode=")
        outcome = "done" if process.returncode == 0 else "refused"
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate(timeout=10)
        outcome = "killed"
    return outcome


def _command(world: World, settings: list[str]) -> list[str]:
    sets = [part for setting in settings for part in ("--set", setting)]
    return ["upgrade", world.instance, str(world.chart), "--reset-then-reuse-values", "--timeout",
            "2m", *sets]  # fmt: skip


def _unlock(world: World) -> None:
    """Take back what a killed helm has left half-done, as its own message advises."""
    text, code = _helm(world, "status", world.instance, "--output", "json")
    if code == 0 and str(json.loads(text)["info"]["status"]).startswith("pending"):
        output, code = _helm(world, "rollback", world.instance, "--timeout", "2m")
        world.journal.mark(f"helm rollback: {'done' if code == 0 else output.strip()[-LAST_LINE:]}")
    shared = world.kube.get("deployments", f"{world.instance}-dask-flows-scheduler")
    world.mode = "static" if shared else "ephemeral"


def _helm(
    world: World, *args: str, stdin: str | None = None, check: bool = False
) -> tuple[str, int]:
    """Run helm; returns what it answers, or what it complains of, and its exit code."""
    done = subprocess.run(
        [HELM, *args, "-n", world.kube.namespace], input=stdin, capture_output=True,
        text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    said = f"{done.stdout}{done.stderr}"
    assert not check or done.returncode == 0, said
    # Helm also complains of what it tries again, an API server that is away for one: that is no part of its answer.
    return said if done.returncode else done.stdout, done.returncode

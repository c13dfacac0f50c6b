"""The agent is killed at random, is there twice, is frozen: every run still ends right, once.

A real API server and real agent processes; nodes and runners are played (kwok). The seed is in the test's
name and in what it prints, so a failure can be played again.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from flows import cancel
from kube import eventually
from kwok.agent import AgentProcess
from kwok.driver import Driver, Play, Runner, playing
from kwok.site import Site, free_port, has_kwok, site, start_kwok

FIRST, LAST = 1.0, 7.0  # seconds between two kills
PAUSE = 0.8  # seconds between two runs
FROZEN = 20.0
STORIES = {
    "good": "Succeeded", "late": "Succeeded", "retried": "Succeeded",
    "bad": "Failed", "cancelled": "Cancelled",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def fake_nodes() -> None:
    """Fake nodes, started if they are not there."""
    if not has_kwok():
        start_kwok()


@dataclass
class Load:
    """Runs of all kinds, in two modes."""

    here: Site
    dice: random.Random
    made: dict[str, str] = field(default_factory=dict)  # the right end of each run

    def submit(self) -> None:
        """Create the next run."""
        story = self.dice.choice(list(STORIES))
        name = f"{story}-{len(self.made)}"
        spec: dict[str, Any] = {"mode": self.dice.choice(["local", "ephemeral"])}
        if story == "retried":
            spec["retries"] = {"limit": 1, "backoffSeconds": 1}
        self.made[name] = STORIES[story]
        self.here.create(name, **spec)

    def cancel_some(self) -> None:
        """Cancel what is to be cancelled, whatever its phase."""
        for name, end in self.made.items():
            if end == "Cancelled":
                cancel(self.here.kube, name)

    def wait(self, timeout: float = 180) -> None:
        """Wait until all have ended as they should."""
        wrong = []
        deadline = time.monotonic() + timeout
        for name, end in self.made.items():
            left = max(1.0, deadline - time.monotonic())
            status = self.here.kube.wait_run(name, timeout=left)
            # A cancel may come after the end of a run that was quick.
            if status["phase"] not in {end, "Succeeded" if end == "Cancelled" else end}:
                wrong.append(f"{name} ended {status['phase']} and not {end}: {status}")
        assert wrong == []


def behave(runner: Runner) -> Play:
    """Do what the run's name says."""
    story = runner.run.partition("-")[0]
    if story == "bad" or (story == "retried" and runner.attempt == 1):
        return Play(seconds=0.5, exit_code=1)
    return Play(seconds=5 if story in ("late", "cancelled") else 0.5)


@contextmanager
def playground(prefix: str) -> Iterator[tuple[Site, Driver]]:
    """Yield a namespace whose runs may be of either mode, and who plays its runners."""
    ephemeral = {"minimum": 1, "maximum": 1}
    with (
        site(prefix, mode="ephemeral", ephemeral=ephemeral) as here,
        playing(here.namespace, behave) as driver,
    ):
        yield here, driver


def kill_at_random(seed: int, seconds: float) -> None:
    """Submit runs for some time while the agent is killed and started again."""
    dice = random.Random(seed)
    with playground("kills") as (here, driver), here.agent() as agent:
        load = Load(here, dice)
        end = time.monotonic() + seconds
        next_kill = time.monotonic() + dice.uniform(FIRST, LAST)
        pause = threading.Event()
        while time.monotonic() < end:
            load.submit()
            if dice.random() < 0.2:
                load.cancel_some()
            pause.wait(PAUSE)
            if time.monotonic() >= next_kill:
                agent.kill()
                agent.start()
                next_kill = time.monotonic() + dice.uniform(FIRST, LAST)
        agent.wait_ready()
        load.cancel_some()
        load.wait()
        print(f"seed {seed}: {len(load.made)} runs, {agent.starts - 1} kills")  # noqa: T201 - for a replay
        assert agent.starts > 2
        here.check(driver, agent, timeout=90)


@pytest.mark.parametrize("seed", [1])
def test_random_kills(seed: int) -> None:
    """Row 2: killed every 1 to 7 s for 30 s; every run ends right, all invariants hold."""
    kill_at_random(seed, 30)


@pytest.mark.full
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_random_kills_for_long(seed: int) -> None:
    """Row 2: the same for ten minutes."""
    kill_at_random(seed, 600)


def second_agent(here: Site) -> AgentProcess:
    """Return another agent for the same runs; runners talk to the first."""
    port = free_port()
    config = yaml.safe_load((here.folder / "config.yaml").read_text())
    config["channel"]["port"] = port
    path = here.folder / "second.yaml"
    path.write_text(yaml.safe_dump(config))
    return AgentProcess(path, here.folder / "kubeconfig", here.folder / "second.log", port)


@pytest.mark.parametrize(
    "frozen",
    [pytest.param(0, id="the first"), pytest.param(1, id="the second", marks=pytest.mark.full)],
)
def test_two_agents_one_of_them_frozen(frozen: int) -> None:
    """Row 3: both work on the same runs, one is stopped for 20 s in the middle: still one start each.

    What the frozen one was about to make it makes when it wakes up, and takes it away when it finds out.
    """
    with playground("two") as (here, driver), here.agent() as one, second_agent(here) as two:
        load = Load(here, random.Random(frozen))
        pid = (one, two)[frozen].pid
        for _ in range(6):
            load.submit()
        os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(6):
                load.submit()
            threading.Event().wait(FROZEN)
        finally:
            os.kill(pid, signal.SIGCONT)
        load.submit()
        load.cancel_some()
        load.wait()
        eventually(lambda: one.running and two.running, 1)
        here.check(driver, one, two, timeout=90, restarts=3)

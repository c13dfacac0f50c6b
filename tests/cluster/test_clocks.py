"""The agent as a process whose time of day is wrong, while that of the API server and of everybody else is right."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kube import eventually
from kwok.driver import Driver, Play, Runner, playing
from kwok.site import ROOT, Site, site

pytestmark = pytest.mark.usefixtures("fake_nodes")

HOUR = 3600
FOREVER = Play(ends=False)
PROGRAM = str(ROOT / "tests" / "kwok" / "wrong_clock.py")


@pytest.fixture
def here() -> Iterator[Site]:
    """A namespace for the test."""
    with site("clock") as found:
        yield found


@pytest.fixture
def driver(here: Site) -> Iterator[Driver]:
    """Who plays its runners: some fail once, some go on until they are stopped."""

    def behave(runner: Runner) -> Play:
        if runner.run == "again" and runner.attempt == 1:
            return Play(seconds=0.2, exit_code=1)
        return FOREVER if runner.run in ("late", "long") else Play(seconds=0.2)

    with playing(here.namespace, behave) as found:
        yield found


class WrongClock:
    """The error of an agent's clock, in a file that the agent reads."""

    def __init__(self, here: Site, seconds: float) -> None:
        self._file = here.folder / "clock"
        self.jump(seconds)
        self.agent = here.agent()
        self.agent.python = [sys.executable, PROGRAM, str(self._file)]

    def jump(self, seconds: float) -> None:
        """Let the agent's clock be off by so much from now on; a reader never meets half a number."""
        new = Path(f"{self._file}.new")
        new.write_text(str(seconds))
        new.rename(self._file)


@pytest.mark.parametrize("error", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_an_agent_whose_clock_is_wrong(here: Site, driver: Driver, error: int) -> None:
    """Row 23: deadlines and pauses are neither an hour early nor late, a TTL stays a span; so after a restart."""
    agent = WrongClock(here, error).agent
    with agent:
        here.create("late", deadlineSeconds=8)
        here.create("plain", startDeadlineSeconds=60, deadlineSeconds=60, ttlSecondsAfterFinished=HOUR)  # fmt: skip
        here.create("again", retries={"limit": 1, "backoffSeconds": 2})
        here.kube.wait_run("late", "Running")
        agent.restart()

        late = here.kube.wait_run("late", timeout=60)
        plain, again = here.kube.wait_run("plain"), here.kube.wait_run("again", timeout=60)

        assert (late["phase"], late["reason"]) == ("Failed", "DeadlineExceeded"), late
        assert 8 <= _seconds(late) < 30, late
        assert _off(late["startTime"]) == pytest.approx(error, abs=60)  # else nothing is proven
        assert (plain["phase"], again["phase"], again["attempt"]) == ("Succeeded", "Succeeded", 2)
        first, second = again["attempts"]
        assert 1 <= _between(first["finishTime"], second["startTime"]) < 15
        job = here.kube.get("jobs", plain["jobName"])
        assert job is not None
        assert job["spec"]["ttlSecondsAfterFinished"] == HOUR
        here.check(driver, agent)


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_clock_that_jumps(here: Site, driver: Driver, jump: int) -> None:
    """Row 23: a run without a deadline does not notice, nor does one that begins then."""
    clock = WrongClock(here, 0)
    with clock.agent as agent:
        here.create("long")
        here.kube.wait_run("long", "Running")
        clock.jump(jump)
        here.create("plain")
        here.create("again", retries={"limit": 1, "backoffSeconds": 2})

        plain = here.kube.wait_run("plain")
        assert plain["phase"] == "Succeeded"
        assert _off(plain["startTime"]) == pytest.approx(jump, abs=60)  # else nothing is proven
        assert here.kube.wait_run("again", timeout=60)["attempt"] == 2
        assert here.kube.run_status("long")["phase"] == "Running"
        driver.end(driver.of("long")[0])
        eventually(lambda: here.kube.run_status("long").get("phase") == "Succeeded", 30)
        here.check(driver, agent)


def _seconds(status: dict[str, str]) -> float:
    """Return how long a run took by the agent's clock."""
    return _between(status["startTime"], status["finishTime"])


def _between(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def _off(moment: str) -> float:
    """Return how many seconds a moment of just now is off."""
    return (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()

"""A fault of the control plane is what the schedule says it is."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from soak import faults, schedule
from soak.journal import Journal
from soak.world import World


@pytest.fixture
def component(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """Let a process be the API server."""
    program = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(program) as process:
        record = SimpleNamespace(pid=process.pid)
        monkeypatch.setattr(faults.processes, "find", lambda name, _: record if name else None)
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("verb", "ended_by", "counted"),
    [("kill", -9, "apiserver killed"), ("stop", None, "apiserver stopped")],
)
def test_a_component_is_killed_before_its_outage_or_left_to_it(
    verb: str, ended_by: int | None, counted: str, *, tmp_path: Path,
    component: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Killed means without a chance to write what it still held; the outage comes at once, and is announced."""
    announce, seen, moments = tmp_path / "announced", [], []

    def outage(command: list[str], **_: Any) -> Any:
        ended = None if ended_by is None else component.wait(20)
        seen.append((command[-3:], ended, announce.exists()))
        moments.append(time.time())
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(faults.subprocess, "run", outage)
    journal = Journal(tmp_path)
    world: Any = World(SimpleNamespace(), journal, tmp_path)  # type: ignore[arg-type]
    action = schedule.Action(0.0, schedule.CONTROL, verb, "apiserver", seconds=2.0)
    faults.control(world, action, announce)
    journal._file.close()

    assert seen == [(["outage", "apiserver", "2.00"], ended_by, True)]
    assert world.faults == {counted: 1}
    (strike,) = world.strikes
    assert strike.what == schedule.CONTROL
    assert strike.begin <= moments[0] <= strike.end - faults.AFTERMATH
    assert not announce.exists()
    assert ended_by is not None or component.poll() is None


class Agents:
    """One agent's pod that runs."""

    def list(self, *_: Any) -> list[dict[str, Any]]:
        """List it."""
        status = {
            "containerID": f"containerd://{'a' * 64}",
            "state": {"running": {}},
            "restartCount": 0,
        }
        return [{"metadata": {"name": "agent-1"}, "status": {"containerStatuses": [status]}}]


@pytest.mark.parametrize(("verb", "strikes"), [("freeze", 1), ("kill", 0)])
def test_what_ends_no_agent_is_a_strike(
    verb: str, strikes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that was killed is known by the next one, which begins."""
    sent: list[int] = []
    monkeypatch.setattr(faults.killing, "send", lambda _, number: sent.append(number) or 1)
    monkeypatch.setattr(faults.time, "sleep", lambda _: None)
    journal = Journal(tmp_path)
    world: Any = World(Agents(), journal, tmp_path)  # type: ignore[arg-type]
    faults.agent(world, schedule.Action(0.0, schedule.AGENT, verb, "agent", seconds=2.0))
    journal._file.close()

    assert [strike.what for strike in world.strikes] == [schedule.AGENT] * strikes
    assert len(world.blows) == 1
    assert len(sent) == 1 + strikes

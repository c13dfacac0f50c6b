"""A fault of the control plane is what the schedule says it is."""

import subprocess
import sys
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
    announce, seen = tmp_path / "announced", []

    def outage(command: list[str], **_: Any) -> Any:
        ended = None if ended_by is None else component.wait(20)
        seen.append((command[-3:], ended, announce.exists()))
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(faults.subprocess, "run", outage)
    journal = Journal(tmp_path)
    world: Any = World(SimpleNamespace(), journal, tmp_path)  # type: ignore[arg-type]
    action = schedule.Action(0.0, schedule.CONTROL, verb, "apiserver", seconds=2.0)
    faults.control(world, action, announce)
    journal._file.close()

    assert seen == [(["outage", "apiserver", "2.00"], ended_by, True)]
    assert world.faults == {counted: 1}
    assert not announce.exists()
    assert ended_by is not None or component.poll() is None

"""The lane of upgrades reads what helm answers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import soak.release_lane as lane

PROGRAM = """#!/bin/sh
echo 'Warning: the API server was away' >&2
{}
"""


def helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> Any:
    """Put a program in helm's place; returns the world it is asked in."""
    program = tmp_path / "helm"
    program.write_text(PROGRAM.format(does))
    program.chmod(0o755)
    monkeypatch.setattr(lane, "HELM", str(program))
    return SimpleNamespace(kube=SimpleNamespace(namespace="n"))


def test_a_warning_is_no_part_of_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON stays JSON, whatever helm tries again."""
    world = helm(tmp_path, monkeypatch, "echo '{}'")

    assert lane._helm(world, "status") == ("{}\n", 0)


def test_a_failure_is_told_with_what_helm_complains_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last line is the reason."""
    world = helm(tmp_path, monkeypatch, "echo 'Error: no' >&2; exit 3")
    text, code = lane._helm(world, "upgrade")

    assert (text.splitlines()[-1], code) == ("Error: no", 3)

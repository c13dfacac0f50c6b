"""Where the soak cannot run, people are told so, and CI fails: what was not tried is not right there."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[3]


def ci_test(folder: Path, kubeconfig: str, ci: str) -> subprocess.CompletedProcess[str]:
    """Run the soak's step with a program in the place of Python that notes what it was asked to do."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\necho "$@" > {folder}/asked\n')
    python.chmod(0o755)
    env = {**os.environ, "PY": str(python), "CI": ci, "KUBECONFIG": kubeconfig,
           "DASK_FLOWS_CLUSTER": str(folder / "cluster")}  # fmt: skip
    return subprocess.run(
        [ROOT / "ci" / "test", "soak", "--minutes", "3"],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a folder with a short name: sockets of the cluster have theirs in it, of 107 characters at most."""
    with TemporaryDirectory(prefix="ci") as folder:
        yield Path(folder)


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0), ("false", 0)])
def test_a_soak_that_is_left_out_fails_ci(ci: str, code: int, tmp_path: Path) -> None:
    """The cluster is somebody else's, so nothing is done to it."""
    done = ci_test(tmp_path, "/elsewhere/kubeconfig", ci)

    assert done.returncode == code, done.stdout + done.stderr
    assert ("CI needs our own cluster for the soak" in done.stderr) is (code == 1)
    assert ("skipped: the soak" in done.stdout) is (code == 0)
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("ci", ["true", ""])
def test_a_soak_on_our_own_cluster_runs(ci: str, tmp_path: Path) -> None:
    """With the options that it was given."""
    own = subprocess.run(
        ["python3", ROOT / "ci" / "cluster", "kubeconfig"],
        env={**os.environ, "DASK_FLOWS_CLUSTER": str(tmp_path / "cluster")},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    done = ci_test(tmp_path, own.stdout.strip(), ci)

    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "asked").read_text() == "tests/soak --minutes 3\n"

"""Rules of what a run has started: nothing of it stays, and it goes without a word."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dask_flows.run.offspring import Offspring

# In a process of its own: the children of this one are the tests'.
ENDS = """
import subprocess, sys
from multiprocessing import resource_tracker
import psutil, distributed
from dask_flows.run.offspring import Offspring

resource_tracker.ensure_running()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
[tracker] = [one for one in psutil.Process().children() if one.pid == resource_tracker._resource_tracker._pid]

def living():
    psutil.wait_procs(psutil.Process().children(), timeout=1)
    return [one.pid == tracker.pid for one in psutil.Process().children()]

offspring = Offspring()
offspring.end()
print(living())
offspring.tidy()
print(living())
child.wait()
"""


class Ending:
    """A nanny whose worker's process ends while we look."""

    @property
    def worker_dir(self) -> str:
        raise AttributeError("process is gone")


def test_folders_of_killed_workers_go_whatever_one_nanny_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nannies go on in their own thread meanwhile."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        (folder / "storage").mkdir(parents=True)
    nannies = [
        Ending(),
        *(SimpleNamespace(worker_dir=str(one)) for one in folders),
        SimpleNamespace(worker_dir=None),
    ]
    module = SimpleNamespace(Nanny=SimpleNamespace(_instances=nannies))
    monkeypatch.setitem(sys.modules, "distributed.nanny", module)

    Offspring(alone=False).tidy()
    assert all(one.exists() for one in folders)
    Offspring().tidy()

    assert not any(one.exists() for one in folders)


@pytest.mark.processes
def test_pythons_resource_tracker_goes_last() -> None:
    """It is told of semaphores that others let go of; without it, Python starts another one and says so."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", ENDS],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.stdout.split("\n"), ended.stderr) == (["[True]", "[]", ""], "")

"""Programs that nobody here wrote run as they are, and their tasks run on the cluster's workers."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

import dask_flows
from dask_flows.run import Request
from programs.table import FOLDER, PROGRAMS, Program

# Other people's programs may use what will not be there for ever.
pytestmark = [
    pytest.mark.processes,
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

SOURCES = Path(dask_flows.__file__).parents[1]
# A command's Python is this one.
VARIABLES = {
    **{key: value for key, value in os.environ.items() if not key.startswith("DASK_")},
    "PYTHONPATH": str(SOURCES),
}


def request(program: Program, folder: Path, **cluster: Any) -> Request:
    """Return a request that runs the program from there, as a flow or as a command."""
    command = None if program.flow else (sys.executable, str(folder / "program.py"))
    return Request(flow=program.flow, command=command, folder=folder, **cluster)


def check(program: Program, ran: Any, capfd: pytest.CaptureFixture[str], workers: str) -> None:
    """The answers are in the output, and the cluster's own workers have done the tasks."""
    assert ran.code == 0, ran.text
    text = f"\n{capfd.readouterr().out}\n{ran.text}"
    for says in program.says:
        assert says in text
    done = re.search(r"^(\d+) tasks done: (.+)$", ran.text, re.MULTILINE)
    assert done, ran.text
    assert int(done[1]) >= program.tasks
    names = [one.rpartition(" ")[0] for one in done[2].split(", ")]
    assert all(re.fullmatch(workers, name) for name in names), names


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Program], Path]:
    """Copy a program to where the workers cannot find it."""
    return lambda program: Path(shutil.copytree(program.folder, tmp_path / "program"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs_on_a_cluster_it_does_not_name(
    name: str, dask: Any, run_here: Any, folder: Any, capfd: Any
) -> None:
    """Scheduler and workers are processes that do not have its files; nothing is left there."""
    program = PROGRAMS[name]

    ran = run_here(
        request(program, folder(program), mode="static", address=dask.address), **VARIABLES
    )

    check(program, ran, capfd, r"pod-\d")
    with Client(dask.address, set_as_default=False) as client:
        assert client.list_datasets() == ()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs_without_a_cluster(
    name: str, run_here: Any, folder: Any, capfd: Any
) -> None:
    """The run brings its own workers."""
    program = PROGRAMS[name]

    ran = run_here(request(program, folder(program), mode="local", workers=1), **VARIABLES)

    check(program, ran, capfd, r"worker-\d")


def test_programs_know_nothing_of_this_product() -> None:
    """Each says where it is from and what was changed, imports Dask only, and is in the list."""
    readme = (FOLDER / "README.md").read_text()

    for program in PROGRAMS.values():
        assert program.name in readme
        for text in program.files.values():
            assert "flows" not in text.lower()
            assert "LocalCluster" not in text
            assert text.startswith("# From: d")
            assert "\n# Changed: " in text
    assert {path.name for path in FOLDER.iterdir() if path.is_dir() and path.name[0].isdigit()} == set(PROGRAMS)  # fmt: skip

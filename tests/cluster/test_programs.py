"""Programs that nobody here wrote run in every mode, and their tasks run in Dask worker pods."""

import re
from itertools import islice
from typing import Any

import pytest

import flows
import invariants
from kube import Kube
from programs.table import PROGRAMS, Program
from release import Release

MODES = ("static", "ephemeral", "local")
AT_ONCE = 6  # more would wait for each other's processors
DONE = re.compile(r"^(\d+) tasks done: (.+)$", re.MULTILINE)


def name_of(program: Program, mode: str) -> str:
    """Return the FlowRun's name."""
    return f"{program.name[3:]}-{mode}"


def start(kube: Kube, program: Program, mode: str) -> str:
    """Create the FlowRun: the program's own files, as a flow or as a command."""
    files = [{"path": path, "content": text} for path, text in program.files.items()]
    what = {"flow": program.flow} if program.flow else {"command": ["python", "program.py"]}
    name = name_of(program, mode)
    kube.create("flowruns", flows.flow_run(name, mode=mode, source={"files": files}, **what))
    return name


@pytest.fixture(scope="module")
def statuses(shared: Kube) -> dict[str, Any]:
    """Run all of them in all modes, a few at once; returns the statuses by FlowRun."""
    release = Release(shared)
    release.install(
        "static", agent={"allowModeOverride": True}, ephemeral={"minimum": 1, "maximum": 1}
    )
    queue = ((program, mode) for program in PROGRAMS.values() for mode in MODES)
    running = [start(shared, *case) for case in islice(queue, AT_ONCE)]
    ended = {}
    while running:
        name = running.pop(0)
        ended[name] = shared.wait_run(name, timeout=240)
        running += [start(shared, *case) for case in islice(queue, 1)]
    return ended


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs_in_worker_pods(
    statuses: dict[str, Any], shared: Kube, name: str, mode: str
) -> None:
    """Its answers are in the log; who worked are pods of the cluster, which the runner's pod is not."""
    program = PROGRAMS[name]
    run = name_of(program, mode)
    status = statuses[run]
    text = "\n" + shared.logs(f"job/{status['jobName']}", "--tail=-1")
    assert status["phase"] == "Succeeded", (status, text)
    assert status["mode"] == mode

    for says in program.says:
        assert says in text
    done = DONE.search(text)
    assert done, text
    assert int(done[1]) >= program.tasks
    workers = [one.rpartition(" ")[0] for one in done[2].split(", ")]
    if mode == "local":
        assert all(re.fullmatch(r"worker-\d+", worker) for worker in workers), workers
        return
    prefix = "flows-dask-flows-worker-" if mode == "static" else f"{status['clusterName']}-worker-"
    assert all(worker.startswith(prefix) for worker in workers), workers
    assert set(workers) <= started_pods(shared)


def started_pods(kube: Kube) -> set[str]:
    """Return the names of all pods that Kubernetes has started, also of those that are gone."""
    return {
        event["involvedObject"]["name"]
        for event in kube.list("events")
        if event["involvedObject"]["kind"] == "Pod" and event["reason"] == "Started"
    }


def test_nothing_is_left(statuses: dict[str, Any], shared: Kube) -> None:
    """Of any run in any mode but its Job."""
    assert len(statuses) == len(PROGRAMS) * len(MODES)

    invariants.check(shared)

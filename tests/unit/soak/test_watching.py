"""The watchers keep all evidence there is; what they could not keep, the soak says at its end."""

import argparse
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kube import Kube, eventually
from soak import schedule
from soak import soak as soaking
from soak.journal import Journal
from soak.lanes import Lanes
from soak.watching import History, Keeper, Readiness, Watcher
from soak.world import World

BOUND = 20.0


def log_of(logs: Path, pod: str, text: str = "said\n") -> Path:
    """Write a container's log where the kubelet does."""
    path = logs / f"ns_{pod}_0123-uid" / "runner" / "0.log"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def kept(folder: Path) -> dict[str, str]:
    """Return what the keeper has written, by pod."""
    return {path.name.partition(".")[0]: path.read_text() for path in folder.iterdir()}


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    """Give a keeper that is not started."""
    (tmp_path / "pods").mkdir()
    return Keeper(tmp_path / "pods", "ns", tmp_path / "kept")


def vanishing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let a folder go in the moment that it is listed."""

    def losing(listing: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def of(path: Any = ".") -> Any:
            if not isinstance(path, int) and Path(path) == folder:
                monkeypatch.undo()
                shutil.rmtree(folder)
            return listing(path)

        return of

    monkeypatch.setattr(os, "scandir", losing(os.scandir))
    monkeypatch.setattr(os, "listdir", losing(os.listdir))


@pytest.mark.parametrize("depth", ["pod", "container"])
def test_a_folder_that_vanishes_while_it_is_listed_costs_no_other_log(
    depth: str, keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pods go all the time: the scan goes on, and all that is there is held in the same round."""
    gone = log_of(tmp_path / "pods", "gone")
    for pod in ("early", "other"):
        log_of(tmp_path / "pods", pod)
    vanishing(monkeypatch, gone.parents[1] if depth == "pod" else gone.parent)
    keeper.work()
    shutil.rmtree(tmp_path / "pods")
    keeper.stop()

    assert kept(tmp_path / "kept") == {"early": "said\n", "other": "said\n"}


def test_logs_outlive_their_pods(keeper: Keeper, tmp_path: Path) -> None:
    """Of this namespace, and with all that was written until the end."""
    path = log_of(tmp_path / "pods", "runner")
    (tmp_path / "pods" / "other_x_1").mkdir()
    keeper.start()
    eventually(lambda: keeper._files, BOUND)
    with path.open("a") as more:
        more.write("and more\n")
    shutil.rmtree(tmp_path / "pods")

    assert keeper.stop() == []
    assert kept(tmp_path / "kept") == {"runner": "said\nand more\n"}


class Failing(Watcher):
    """Works as it is told."""

    def __init__(self, do: Callable[[int], None]) -> None:
        super().__init__("a watcher", 0.0)
        self.rounds = 0
        self._do = do

    def work(self) -> None:
        """Count and do."""
        self.rounds += 1
        self._do(self.rounds)


def test_a_watcher_that_fails_goes_on_and_says_so() -> None:
    """What failed, and how often."""

    def fails_twice(number: int) -> None:
        if number <= 2:
            raise ValueError("it was wrong")

    watcher = Failing(fails_twice)
    watcher.start()
    eventually(lambda: watcher.rounds > 5, BOUND)

    assert watcher.stop() == ["a watcher failed 2 times: ValueError('it was wrong')"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_watcher_that_is_dead_is_named() -> None:
    """However it came to die: it does not keep what comes after."""

    def leaves(_: int) -> None:
        raise SystemExit

    watcher = Failing(leaves)
    watcher.start()
    watcher.join(BOUND)

    assert watcher.stop() == ["a watcher does not run: what happened without it is not kept"]


def test_a_watcher_without_complaint_has_none() -> None:
    """Nothing failed, and it ran until it was told to end."""
    watcher = Failing(lambda _: None)
    watcher.start()
    eventually(lambda: watcher.rounds, BOUND)

    assert watcher.stop() == []


KUBE = Kube("http://127.0.0.1:1", "ns")


def run(version: int, **status: Any) -> dict[str, Any]:
    """Return a FlowRun."""
    meta = {"name": "r1", "uid": "u1", "resourceVersion": str(version), "generation": 1}
    return {"metadata": meta, "status": status}


def told(watch: Any, *events: dict[str, Any]) -> None:
    """Let a watch hear these events."""
    watch._events = lambda: iter(events)
    watch.work()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """Give a watch that nobody has started."""
    made = History(KUBE, Journal(tmp_path))
    yield made
    made._file.close()
    made._journal._file.close()


def test_an_event_that_cannot_be_taken_costs_none_of_those_after_it(
    history: History, tmp_path: Path
) -> None:
    """It is said, and the watch goes on."""
    told(
        history,
        {"type": "ADDED", "object": run(1, phase="Starting")},
        {"type": "MODIFIED", "object": {"metadata": {}}},
        {"type": "MODIFIED", "object": run(2, phase="Running")},
    )
    lines = [json.loads(line) for line in (tmp_path / "flowruns.jsonl").read_text().splitlines()]

    assert [line["status"] for line in lines] == [{"phase": "Starting"}, {"phase": "Running"}]
    assert [state["metadata"]["resourceVersion"] for state in history.states] == ["1", "2"]
    assert "failed 1 times: KeyError('uid')" in "\n".join(history.broken)


def test_history_knows_what_it_has_not_seen(history: History) -> None:
    """Of each run the state that it is in now is there, or its absence is said."""
    told(history, {"type": "ADDED", "object": run(1)})

    assert history.lacks([run(1)]) == []
    assert history.lacks([run(2)]) == ["watch of flowruns has not seen what r1 is now"]


def test_a_watch_that_nobody_answered_says_so() -> None:
    """An outage is no failure, but a watch that has seen nothing proves nothing."""
    watch = Readiness(KUBE)
    watch.work()

    assert any("has seen nothing: URLError(" in line for line in watch.broken)


class Quiet:
    """A watcher with a complaint."""

    def __init__(self, complaint: str) -> None:
        self._complaint = complaint

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> list[str]:
        """Return the complaint."""
        return [self._complaint]


def test_the_soak_ends_with_what_its_watchers_missed_whatever_else_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its verdict names each of them, beside the error that ended it, and its exit code is not 0."""

    def nothing(*_: Any, **__: Any) -> None:
        """Take the place of what needs a cluster."""

    class Proxy:
        def __enter__(self) -> str:
            return "http://127.0.0.1:1"

        def __exit__(self, *_: object) -> None:
            pass

    def failing(*_: Any) -> None:
        raise OSError("no disk")

    monkeypatch.setattr(soaking, "proxy", Proxy)
    monkeypatch.setattr(soaking, "make_namespace", lambda kube, _: kube)
    for place, name in ((soaking, "kubectl"), (soaking, "eventually"), (soaking.counter, "install"),
                        (soaking.release_lane, "install")):  # fmt: skip
        monkeypatch.setattr(place, name, nothing)
    for name in ("Keeper", "History", "Readiness", "Memory"):
        monkeypatch.setattr(soaking, name, lambda *_, name=name: Quiet(f"{name} is dead"))
    monkeypatch.setattr(soaking.Soak, "_happen", failing)
    options = argparse.Namespace(seed=1, minutes=1, keep=False)
    monkeypatch.setenv("DASK_FLOWS_CLUSTER", "/nowhere")
    soak = soaking.Soak([], options, tmp_path / "soak")
    result = soak.run("plan")
    soak._journal._file.close()

    assert result.broken == [
        "History is dead", "Readiness is dead", "Memory is dead", "Keeper is dead",
        "it ended early: OSError('no disk')",
    ]  # fmt: skip
    assert result.exit_code == 3
    assert json.loads((tmp_path / "soak" / "result.json").read_text())["broken"] == result.broken


def test_a_lane_that_ends_early_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails between two actions must not look like a lane that had nothing to do."""
    journal, done = Journal(tmp_path), threading.Event()
    world: Any = World(SimpleNamespace(), journal, tmp_path)  # type: ignore[arg-type]
    lanes = Lanes(world, "", 60, announce=None, many=None)

    def broken_room() -> float:
        raise OSError("nobody answered")

    monkeypatch.setattr(lanes, "_room", broken_room)
    lanes._do = {schedule.PODS: lambda _: done.set()}
    lanes.run(
        [
            schedule.Action(0.0, schedule.LOAD, "create", "r1"),
            schedule.Action(0.0, schedule.PODS, "kill", "runner"),
        ]
    )
    journal._file.close()

    assert lanes.broken == ["lane load ended early: OSError('nobody answered')"]
    assert done.is_set()


def test_half_an_entry_does_not_cost_the_log(tmp_path: Path) -> None:
    """A server that was killed in the middle of one leaves it to its successor's first."""
    log = tmp_path / "audit.log"
    mark = '"namespace":"ns"'
    log.write_text(f'{{"kind":"Ev{{{mark},"requestReceivedTimestamp":"2"}}\n'
                   f'{{{mark},"requestReceivedTimestamp":"1"}}\n')  # fmt: skip

    assert [line[-3] for line in soaking._audit_lines(log, "ns")] == ["1", "2"]

"""Rules of the record that the scheduler keeps: sums of one run's tasks, in bounded room."""

import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from dask_flows.clusters import recorded, recorder
from dask_flows.clusters.recorded import FAILURES, NAMES, SLOWEST
from dask_flows.clusters.recorder import HANDLER, NAME, Recorder
from dask_flows.clusters.timeline import REST

NOW = 1000.0


@dataclass
class Worker:
    """As much of a scheduler's WorkerState as is looked at."""

    address: str
    name: Any
    nthreads: int = 1
    memory_limit: int = 1000
    process: int = 100
    spilled: int = 0
    processing: list[Any] = field(default_factory=list)

    @property
    def memory(self) -> Any:
        return SimpleNamespace(process=self.process, managed=50, spilled=self.spilled)


class Scheduler:
    """As much of a scheduler as is looked at."""

    def __init__(self) -> None:
        self.workers = {f"tcp://{n}": Worker(f"tcp://{n}", n) for n in range(2)}
        self.tasks: dict[Any, Any] = {}
        self.handlers: dict[str, Any] = {}
        self.plugins: dict[str, Any] = {}
        self.cumulative_worker_metrics: dict[Any, float] = {"latency": 1.0}

    def add_plugin(self, plugin: Any, name: str) -> None:
        self.plugins[name] = plugin

    def remove_plugin(self, name: str) -> None:
        del self.plugins[name]


class Clock:
    """A time that tests set."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Record:
    """A recorder on a scheduler, and ways to make tasks happen."""

    plugin: Recorder
    scheduler: Scheduler
    clock: Clock

    def task(self, key: str, tag: str = "run-1", *, wanted: bool = True) -> str:
        self.scheduler.tasks[key] = SimpleNamespace(
            key=key, prefix=SimpleNamespace(name=key.split("-", maxsplit=1)[0]), annotations={"dask-flows": tag},
            who_wants={"client"} if wanted else set(), waiters=set(),
        )  # fmt: skip
        return key

    def done(self, key: str, seconds: float = 1.0, finish: str = "memory", **facts: Any) -> None:
        steps = [{"action": "compute", "start": self.clock.now - seconds, "stop": self.clock.now}]
        facts = {"worker": "tcp://0", "startstops": steps, "nbytes": 10, **facts}
        self.plugin.transition(key, "processing", finish, stimulus_id="s", **facts)

    def read(self, step: str = "read", tag: str = "run-1") -> Any:
        return self.plugin.handle(step, tag)


@pytest.fixture
async def record(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Record run-1 from now on."""
    clock, scheduler, plugin = Clock(), Scheduler(), Recorder()
    for module in (recorded, recorder):
        monkeypatch.setattr(module, "time", clock)
    await plugin.start(scheduler)
    scheduler.plugins[NAME] = plugin
    one = Record(plugin, scheduler, clock)
    one.read("begin")
    yield one
    await plugin.close()


async def test_tasks_are_summed_by_name_and_worker(record: Record) -> None:
    """Times, results, transfers, disk, failures: all in one go."""
    record.clock.now += 10
    record.done(record.task("inc-1"), 2.0)
    steps = [
        {"action": "transfer", "start": 1.0, "stop": 1.5, "source": "tcp://1"},
        {"action": "disk-read", "start": 1.5, "stop": 1.75},
        {"action": "compute", "start": 1006.0, "stop": 1010.0},
        {"action": "disk-write", "start": 1010.0, "stop": 1010.5},
    ]
    record.done(record.task("inc-2"), startstops=steps)
    record.done(record.task("inc-3"), 0.5, "erred", worker="tcp://1", exception_text="ValueError()")
    record.done(record.task("add-1"), 1.0, worker="gone")
    read = record.read()

    inc = read["names"]["inc"]
    assert {k: inc[k] for k in ("count", "failed", "seconds", "shortest", "longest", "transfer", "disk")} == {
        "count": 3, "failed": 1, "seconds": 6.5, "shortest": 0.5, "longest": 4.0, "transfer": 0.5, "disk": 0.75,
    }  # fmt: skip
    assert inc["histogram"] == [(0, 1), (2, 1), (3, 1)]
    assert inc["result_bytes"] == 20
    first, second = read["workers"]
    assert (first["name"], first["tasks"], first["seconds"], first["transfer"]) == (
        "worker-0",
        2,
        6.0,
        0.5,
    )
    assert (second["tasks"], second["seconds"]) == (1, 0.5)
    assert read["failures"] == [[1010.0, "inc", "inc-3", "worker-1", "ValueError()"]]
    assert max(read["slowest"]) == [4.0, "inc", "inc-2", "worker-0", 1006.0]
    assert sum(read["by_name"]["series"]["inc"]) == pytest.approx(6.5)
    assert sum(read["by_worker"]["series"]["worker-0"]) == pytest.approx(6.0)
    assert sum(read["by_worker"]["series"]["worker-1"]) == pytest.approx(0.5)


async def test_what_others_do_does_not_count(record: Record) -> None:
    """Tasks of other runs, of nobody, and changes that are no ends."""
    record.done(record.task("inc-1", "run-2"))
    record.done(record.task("inc-2"), finish="no-such-state")
    record.plugin.transition(record.task("inc-3"), "waiting", "processing", stimulus_id="s")
    record.plugin.transition("unknown", "processing", "memory", stimulus_id="s")
    record.scheduler.tasks["bare"] = SimpleNamespace(annotations=None)
    record.done("bare")

    assert record.read()["names"] == {}
    assert record.read(tag="run-2") is None


async def test_tasks_run_again_are_counted_with_the_worker_that_cost_them(record: Record) -> None:
    """Lost results and lost work; what nobody wants any more is not run again."""
    change = record.plugin.transition
    change(record.task("inc-1"), "processing", "released", stimulus_id="lost")
    change(record.task("inc-2"), "memory", "released", stimulus_id="lost")
    change(record.task("inc-3", wanted=False), "memory", "released", stimulus_id="lost")
    change(record.task("inc-4"), "processing", "released", stimulus_id="task-erred-1.0")
    change(record.task("inc-5"), "processing", "released", stimulus_id="reschedule-1.0")
    record.clock.now += 3
    record.plugin.remove_worker(record.scheduler, "tcp://1", stimulus_id="lost")
    read = record.read()

    assert (read["names"]["inc"]["rerun"], read["names"]["inc"]["retried"]) == (2, 1)
    assert [worker["rerun"] for worker in read["workers"]] == [0, 2]
    assert [worker["left"] for worker in read["workers"]] == [None, NOW + 3]


async def test_workers_that_come_later_are_known(record: Record) -> None:
    """With the time at which they came."""
    record.scheduler.workers["tcp://9"] = Worker("tcp://9", "pod-9")
    record.clock.now += 2
    record.plugin.add_worker(record.scheduler, "tcp://9")

    assert [(w["name"], w["joined"]) for w in record.read()["workers"]] == [
        ("worker-0", None), ("worker-1", None), ("pod-9", NOW + 2),
    ]  # fmt: skip


async def test_memory_is_sampled_over_all_workers(record: Record) -> None:
    """And each worker's peak is kept."""
    record.scheduler.workers["tcp://1"].process = 700
    record.scheduler.workers["tcp://1"].spilled = 40
    record.clock.now += 1
    read = record.read()
    record.scheduler.workers["tcp://1"].process = 200
    record.clock.now += 1
    read = record.read()

    assert read["samples"] == [
        [NOW, 2, 2, 0, 200, 100, 0], [NOW + 1, 2, 2, 0, 800, 100, 40], [NOW + 2, 2, 2, 0, 300, 100, 40],
    ]  # fmt: skip
    assert [worker["peak"] for worker in read["workers"]] == [100, 700]


async def test_fine_metrics_count_from_the_run_s_start(record: Record) -> None:
    """A scheduler may have lived long before."""
    metrics = record.scheduler.cumulative_worker_metrics
    metrics[("execute", "inc", "thread-cpu", "seconds")] = 2.0
    metrics["latency"] = 9.0
    assert record.read()["metrics"] == [["execute", "inc", "thread-cpu", "seconds", 2.0]]
    record.read("begin", "run-2")
    assert record.read(tag="run-2")["metrics"] == []
    metrics["execute", "inc", "thread-cpu", "seconds"] = 5.0
    assert record.read(tag="run-2")["metrics"] == [["execute", "inc", "thread-cpu", "seconds", 3.0]]


async def test_the_room_does_not_grow_with_the_tasks(record: Record) -> None:
    """Names, slowest tasks and failures are bounded, and so is what is sent."""
    sizes = []
    for more in range(2):
        for n in range(3000):
            record.clock.now += 0.5
            key = record.task(f"n{n}-{'x' * 5000}")
            record.done(
                key, 0.1 + n / 1e4, "erred" if n % 2 else "memory", exception_text="e" * 5000
            )
            del record.scheduler.tasks[key]
        sizes.append(sys.getsizeof(repr(record.read())))
        assert more == 0 or sizes[1] < 1.1 * sizes[0]
    record.done(record.task("short-1"), 0.001)
    read = record.read()

    assert len(read["names"]) == NAMES + 1
    assert sum(one["count"] for one in read["names"].values()) == 6001
    assert read["names"][REST]["count"] > 5000
    assert (len(read["slowest"]), len(read["failures"])) == (SLOWEST, FAILURES)
    assert min(read["slowest"])[0] == pytest.approx(0.1 + 2975 / 1e4)


async def test_the_plugin_is_there_only_as_long_as_a_run_is_recorded(record: Record) -> None:
    """Ended runs and those of dead runners are forgotten; a new one brings it back."""
    record.read("begin", "run-2")
    assert record.read("end")["names"] == {}
    assert record.read() is None
    assert NAME in record.scheduler.plugins
    record.clock.now += 301
    record.plugin._sample()
    assert NAME not in record.scheduler.plugins

    assert record.scheduler.handlers[HANDLER]("begin", "run-3") is not None
    assert record.scheduler.plugins[NAME] is record.plugin


async def test_clocks_that_differ_do_not_stretch_the_timeline(record: Record) -> None:
    """A task may seem to end in the future."""
    record.clock.now += 1
    steps = [{"action": "compute", "start": NOW + 9e6, "stop": NOW + 9e6 + 0.5}]
    record.done(record.task("inc-1"), startstops=steps)
    line = record.read()["by_name"]
    assert line["width"] == 0.05
    assert sum(line["series"]["inc"]) == pytest.approx(0.5)

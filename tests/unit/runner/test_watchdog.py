"""Rules of the watch over a cluster, in virtual time: what counts as lost, what is only busy, what is said."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from distributed.core import Status
from distributed.scheduler import NoValidWorkerError

from dask_flows.clusters import Attached, Wanted, lookout
from dask_flows.clusters.accidents import NANNY_TOPIC, Accidents, Hearsay, name_task
from dask_flows.clusters.connect import answers
from dask_flows.clusters.lookout import Lookout
from dask_flows.clusters.losses import tell_killed, tell_lost, tell_starved
from dask_flows.clusters.probe import ask_pulse
from dask_flows.clusters.pulse import TURN_SECONDS, Pulse
from dask_flows.clusters.watch import Look, SchedulerWatch, WorkersWatch
from dask_flows.errors import FlowFailed, SchedulerLost, WorkersLost

HOUR = 3600.0


def looks(seconds: float, **facts: Any) -> list[Look]:
    """Look once a second for so long."""
    return [Look(1.0, 1.5, **facts) for _ in range(int(seconds))]


UP: dict[str, Any] = {"asked": True, "age": 0.0}
BUSY: dict[str, Any] = {"asked": True, "age": 50.0}
SILENT: dict[str, Any] = {"asked": True}
AWAY: dict[str, Any] = {"status": "connecting", "asked": True}
PAUSE = Look(HOUR, 1.5, asked=True)

CASES: dict[str, tuple[list[Look], int | None, str]] = {
    "alive": (looks(HOUR, **UP), None, ""),
    "silent": (looks(10, **UP) + looks(70, **SILENT), 70, "no sign of life for 60 s"),
    "silent for less": (looks(59, **SILENT) + looks(1, **UP) + looks(59, **SILENT), None, ""),
    "busy": (looks(HOUR, **BUSY), None, ""),
    "busy without a connection": (looks(40, **{**BUSY, "status": "connecting"}), 31, "not answered for 30"),
    "not asked": (looks(HOUR), None, ""),
    "asked once": (looks(100) + looks(1, **SILENT) + looks(100), None, ""),
    "own pause": ([PAUSE] * 20 + looks(20, **SILENT), None, ""),
    "own pauses, and silent": ([PAUSE] * 40, 40, "no sign of life for 60 s"),
    "connection lost": (looks(5, **UP) + looks(40, **AWAY), 36, "not answered for 30 s"),
    "connection back": (looks(29, **AWAY) + looks(1, **UP) + looks(29, **AWAY), None, ""),
    "client closed": (looks(5, **UP) + looks(1, status="closed"), 6, "not answered"),
    "pause without a connection": ([Look(HOUR, 1.5, "connecting")] * 20, None, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_silence_is_loss_and_work_is_not(case: str) -> None:
    """Silence of 60 s, or 30 s without a connection, as far as the watch itself ran."""
    seen, lost_at, says = CASES[case]
    watch = SchedulerWatch(patience=30, silence=60)

    lost = next(((n, why) for n, look in enumerate(seen, 1) if (why := watch.see(look))), None)

    assert (lost[0] if lost else None) == lost_at
    assert says in (lost[1] if lost else "")


def busy(*ages: float) -> list[Look]:
    return [Look(1.0, 1.5, asked=True, age=age) for age in ages]


SAID: dict[str, tuple[list[Look], list[str]]] = {
    "nothing": (looks(20, **UP) + looks(5, **SILENT) + looks(5, **UP) + busy(3, 4, 0), []),
    "busy": (busy(5, 14, 20, 25, 0, 0),
             ["the scheduler is busy: its event loop has not turned for 14 s",
              "the scheduler's event loop turns again after 25 s"]),
    "busy twice": (busy(14, 0, 15, 0), ["is busy", "turns again", "is busy", "turns again"]),
    "silent": (looks(14, **SILENT) + looks(3, **UP),
               ["the scheduler gives no sign of life for 10 s; after 60 s it counts as lost",
                "the scheduler answers again after 14 s"]),
    "pause": ([Look(71.5, 1.5, **UP), Look(80.0, 1.5, **UP)],
              ["this process stood still for 70 s: the flow keeps Python's lock"]),
    "not asked for long": (looks(100), []),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_people_are_told_once(case: str) -> None:
    """What begins, and that it is over."""
    seen, said = SAID[case]
    watch = SchedulerWatch(patience=30, silence=60)

    for look in seen:
        assert watch.see(look) is None

    assert len(watch.news) == len(said), watch.news
    assert all(part in line for part, line in zip(said, watch.news, strict=True)), watch.news


def test_a_scheduler_in_trouble_is_asked_nothing_more() -> None:
    """Questions through the client would only hold up the watch."""
    watch = SchedulerWatch(patience=30, silence=60)
    states = []
    for look in (
        *busy(0, 5, 0),
        Look(1, 1, asked=True),
        *busy(0),
        Look(1, 1, "connecting"),
        *busy(0),
    ):
        watch.see(look)
        states.append(watch.answers)

    assert states == [True, False, True, False, True, False, True]


WORKERS: dict[str, tuple[list[tuple[int | None, bool]], bool, list[str]]] = {
    "there": ([(2, True)] * 50, False, []),
    "none, and no tasks": ([(0, False)] * 50, False, []),
    "none": ([(2, True)] + [(0, True)] * 6, True, ["no worker is left: the run waits up to 10 s for one"]),
    "back in time": ([(0, True)] * 5 + [(1, True)] + [(0, True)] * 5, False,
                     ["no worker is left", "1 worker again after 8 s without any", "no worker is left"]),
    "nobody says": ([(0, True)] * 3 + [(None, True)] * 50, False, ["no worker is left"]),
    "tasks are done": ([(0, True)] * 5 + [(0, False)] + [(0, True)] * 5, False, ["no worker"] * 2),
}  # fmt: skip


@pytest.mark.parametrize("case", WORKERS)
def test_tasks_wait_for_a_worker_only_so_long(case: str) -> None:
    """Only while there are tasks, and only as far as somebody counts the workers."""
    counts, lost, said = WORKERS[case]
    watch = WorkersWatch(10)

    why = [watch.see(2.0, count, waiting=waiting) for count, waiting in counts]

    assert ("waited 10 s" in (why[-1] or "")) is lost
    assert not any(why[:-1])
    assert all(part in line for part, line in zip(said, watch.news, strict=True)), watch.news


def facts(**changes: Any) -> dict[str, Any]:
    plain = {"tag": "t", "name": "pod-1", "tasks": ["inc (inc-1)"], "more": 0, "results": 0,
             "memory": 2**30, "limit": 2**31, "ended": False}  # fmt: skip
    return {**plain, **changes}


@pytest.mark.parametrize(
    ("known", "says"),
    [
        (facts(memory=2040 * 2**20, ended=True), "pod-1 was ended at 100 % of its 2.0 GiB while it ran inc (inc-1)"),
        (facts(), "pod-1 was lost while it ran inc (inc-1); it last used 1.0 GiB of its 2.0 GiB"),
        (facts(memory=2**31 * 0.9), "it last used 1.8 GiB of its 2.0 GiB, so most likely it ran out of memory"),
        (facts(limit=0, tasks=[]), "pod-1 was lost"),
        (facts(limit=0, more=4), "pod-1 was lost while it ran inc (inc-1) and 4 more"),
        (facts(limit=0, tasks=[], results=3), "pod-1 was lost; results that it held are computed again (3)"),
    ],
)  # fmt: skip
def test_a_lost_worker_is_named_with_its_task_and_its_memory(
    known: dict[str, Any], says: str
) -> None:
    """As far as anybody knows."""
    assert tell_lost(known).endswith(says)


def test_a_shared_clusters_workers_are_named_only_to_runs_that_used_them() -> None:
    """On a cluster of its own, a run hears of all; a worker spills once."""
    shared, own = Hearsay("t", strict=True), Hearsay("t", strict=False)
    for hearsay in (shared, own):
        for tag in ("t", "other", None):
            hearsay((0.0, facts(tag=tag, name=f"of-{tag}")))
        for _ in range(2):
            hearsay.spilling({"pod-1": [2**20, 2**30], "pod-2": [2**20, 2**30]}, ("pod-1",))

    spills = "spills: 1.0 MiB of its data are on disk, its memory limit is 1.0 GiB"
    assert [line.split()[0] for line in shared.take()] == ["of-t", "pod-1"]
    assert shared.take() == []
    told = own.take()
    assert [line.split()[0] for line in told] == ["of-t", "of-None", "pod-1", "pod-2"]
    assert told[2] == f"pod-1 {spills}"
    assert own.last("of-t") is not None
    assert (own.last() or {})["name"] == "of-None"
    assert own.last("of-other") is None


class KilledWorker(Exception):
    """What Dask raises, as far as we read it."""

    def __init__(self, limit: int = 2**31) -> None:
        super().__init__("died")
        self.task, self.allowed_failures = "inc-1", 3
        self.last_worker = SimpleNamespace(name=0, address="tcp://a:1", memory_limit=limit)


@pytest.mark.parametrize(
    ("error", "known", "found", "do"),
    [
        (KilledWorker(), None, "4 workers ended while running task inc-1; the last was worker-0 with a memory limit of 2.0 GiB", "see the log of worker-0"),
        (KilledWorker(), facts(name="worker-0", ended=True, memory=2**31), "the last: worker-0 was ended at 100 %", "give workers more memory"),
        (KilledWorker(), facts(name="worker-0"), "it last used 1.0 GiB", "see the log of worker-0"),
        (KilledWorker(0), facts(), "the last was worker-0", "see the log of worker-0"),
        (ValueError("strange"), None, "KilledWorker: strange", "see the log"),
    ],
)  # fmt: skip
def test_a_task_that_kills_its_workers_is_named(
    error: BaseException, known: dict[str, Any] | None, found: str, do: str
) -> None:
    """How often, where it was last, with which limit, and what to do about it."""
    hearsay = Hearsay("t", strict=True)
    if known is not None:
        hearsay((0.0, known))

    said, advice = tell_killed(error, hearsay)

    assert found in said
    assert do in advice


class FakeTask(SimpleNamespace):
    """A task; Dask has them in sets."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class FakeScheduler:
    """A scheduler with one worker, one task of run t, and one of nobody."""

    def __init__(self) -> None:
        tasks = {
            key: FakeTask(key=key, prefix=SimpleNamespace(name="inc"), annotations=noted)
            for key, noted in (("inc-1", {"dask-flows": "t"}), ("inc-2", None))
        }
        self.tasks: dict[str, Any] = tasks
        spilled = {"memory": 0, "disk": 2**20}
        state = SimpleNamespace(
            name=1, executing={tasks["inc-1"]: 1.0}, memory_limit=2**31,
            metrics={"memory": 2**30, "spilled_bytes": spilled}, status=Status.running,
        )  # fmt: skip
        self.workers = {"tcp://w:1": state}
        self.handlers: dict[str, Any] = {}
        self.unrunnable: dict[Any, float] = {}
        self.queued = [tasks["inc-1"]]
        self.told: list[dict[str, Any]] = []

    def log_event(self, topic: str, msg: dict[str, Any]) -> None:
        assert topic == "dask-flows-accidents"
        self.told.append(msg)


def gone(*keys: str, **changes: Any) -> dict[str, Any]:
    return {"action": "remove-worker", "worker": "tcp://w:1", "processing-tasks": set(keys),
            "stimulus_id": "handle-worker-cleanup", "expected": False, **changes}  # fmt: skip


@pytest.mark.parametrize(
    ("message", "tags", "tasks"),
    [
        (gone("inc-1"), ["t"], ["inc (inc-1)"]),
        (gone("inc-1", "inc-2"), ["t"], ["inc (inc-1)"]),
        (gone("inc-2"), [None], ["inc (inc-2)"]),
        (gone(), [None], []),
        (gone(**{"lost-computed-tasks": {"inc-1"}}), ["t"], []),
        (gone("inc-1", expected=True), [], []),
        (gone("inc-1", stimulus_id="restart-1.0"), [], []),
        (gone("inc-1", worker="tcp://unknown:1"), [], []),
        (gone("inc-1", action="add-worker"), [], []),
        ("a user's own event", [], []),
    ],
)
async def test_a_run_hears_of_the_workers_that_it_loses(
    message: Any, tags: list[str | None], tasks: list[str]
) -> None:
    """Not of those that retire or restart as they are told to; those that ran its tasks come first."""
    scheduler, plugin = FakeScheduler(), Accidents()
    await plugin.start(scheduler)
    scheduler.workers.clear()  # Dask forgets it before it tells

    plugin.log_event("all", message)

    assert [facts["tag"] for facts in scheduler.told] == tags
    assert [name for facts in scheduler.told for name in facts["tasks"]] == tasks
    assert {facts["name"] for facts in scheduler.told} <= {"worker-1"}


async def test_a_nanny_says_whom_it_has_ended() -> None:
    """Its number is the memory that the worker really had."""
    scheduler, plugin = FakeScheduler(), Accidents()
    await plugin.start(scheduler)

    plugin.log_event(NANNY_TOPIC, {"worker": "tcp://w:1", "pid": 1, "rss": 2**31})
    plugin.log_event("all", gone("inc-1"))
    plugin.remove_worker(scheduler, "tcp://w:1")
    plugin.log_event("all", gone("inc-1"))

    assert len(scheduler.told) == 1
    assert tell_lost(scheduler.told[0]).startswith("worker-1 was ended at 100 % of its 2.0 GiB")


@pytest.mark.parametrize(
    ("tag", "status", "workers", "waiting"),
    [
        ("t", None, 0, True),
        ("t", Status.running, 1, False),
        ("t", Status.paused, 1, False),
        ("t", Status.init, 0, True),
        ("t", Status.closing_gracefully, 0, True),
        ("x", None, 0, False),
    ],
)
async def test_a_run_waits_only_with_tasks_and_without_workers(
    tag: str, status: Status | None, workers: int, waiting: bool
) -> None:
    """Other runs' tasks are not its own; a worker that is held or leaves is none, one that pauses is."""
    scheduler, plugin = FakeScheduler(), Accidents()
    await plugin.start(scheduler)
    if status is None:
        scheduler.workers.clear()
    else:
        scheduler.workers["tcp://w:1"].status = status

    told = scheduler.handlers["dask_flows_workers"](tag=tag)

    assert (told["workers"], told["waiting"]) == (workers, waiting)
    assert told["spilling"] == ({} if status is None else {"worker-1": [2**20, 2**31]})


def test_a_name_is_short_enough_for_a_line() -> None:
    """Keys may be as long as people like."""
    assert name_task("inc", "inc-1") == "inc (inc-1)"
    assert len(name_task("sum", ("x" * 500, 1))) < 90


UNFIT = NoValidWorkerError("inc-1", set(), set(), {"GPU": 1.0}, 300.0)


class NoWorkerError(Exception):
    """What newer releases of Dask raise."""

    task, timeout = "inc-1", 300.0


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (NoWorkerError(), "task inc-1 has waited 300 s for a worker, and there is none"),
        (UNFIT, "a worker that fits it, and there is none: it asks for resources {'GPU': 1.0}"),
        (ValueError("x"), "x for a worker, and there is none"),
    ],
)  # fmt: skip
def test_a_task_that_no_worker_took_is_named(error: BaseException, says: str) -> None:
    """With what it asked for."""
    assert tell_starved(error).endswith(says)


@dataclass
class FakeClock:
    """A clock that stands until it is moved."""

    time: float = 100.0

    def monotonic(self) -> float:
        return self.time

    def now(self) -> Any:
        raise NotImplementedError


@dataclass
class FakeClient:
    """What the lookout uses of Dask's client."""

    status: str = "running"
    futures: dict[str, Any] = field(default_factory=dict)
    plugins: list[Any] = field(default_factory=list)
    security: None = None

    def register_plugin(self, plugin: Any) -> None:
        self.plugins.append(plugin)

    def subscribe_topic(self, topic: str, handler: Any) -> None:
        pass


@dataclass
class Scene:
    """A lookout over a cluster that does what the test says."""

    clock: FakeClock
    client: FakeClient
    lookout: Lookout
    age: float | None = 0.0
    sought: int = 0
    probes: int = 0

    def live(self, seconds: float) -> BaseException | None:
        """Look twice a second for so long; returns the loss, if any."""
        for _ in range(int(seconds * 2)):
            self.clock.time += 0.5
            if lost := self.lookout.look():
                return lost
        return None


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scene]:
    """Make a lookout of a run in a mode; ``pulse`` says whether its scheduler has one."""

    def make(mode: str = "static", *, pulse: bool = True) -> Scene:
        clock, client = FakeClock(), FakeClient()
        wanted = Wanted(mode=mode, tag="t", scheduler_timeout=60, workers_timeout=300)
        attached = Attached(client, "tcp://s:1", None, 30.0)  # type: ignore[arg-type]
        one = Scene(clock, client, Lookout(wanted, attached, clock))

        def probe(_: float) -> float | None:
            one.probes += 1
            return one.age

        def find(*_: Any) -> Any:
            one.sought += 1
            return probe if pulse else None

        monkeypatch.setattr(lookout, "find_pulse", find)
        monkeypatch.setattr(lookout, "shake_hands", lambda *_: probe)
        monkeypatch.setattr(lookout, "count_workers", lambda _: 0)
        monkeypatch.setattr(lookout, "rpc", lambda *_, **__: None)
        one.lookout.open()
        one.lookout.ask(None)
        return one

    return make


@pytest.mark.parametrize(
    ("mode", "pulse", "survives", "dies"),
    [("static", True, 55, 10), ("ephemeral", True, 55, 10), ("static", False, 295, 10), ("class", False, 295, 10)],
)  # fmt: skip
def test_an_outside_scheduler_gets_more_time(
    scene: Callable[..., Scene], mode: str, pulse: bool, survives: float, dies: float
) -> None:
    """One without a pulse answers only if its loop turns, so being busy looks like death there."""
    one = scene(mode, pulse=pulse)
    assert one.live(30) is None
    one.age = None

    assert one.live(survives) is None
    lost = one.live(dies)

    assert isinstance(lost, SchedulerLost)
    assert "no sign of life" in str(lost)
    assert "tcp://s:1" in str(lost)


def test_the_own_scheduler_of_a_local_cluster_is_not_asked(scene: Callable[..., Scene]) -> None:
    """It lives in this process, and dies with it."""
    one = scene("local")
    one.lookout.ask(None)

    assert one.live(HOUR) is None
    assert (one.sought, one.probes) == (0, 0)


def test_a_scheduler_that_comes_back_is_asked_anew(scene: Callable[..., Scene]) -> None:
    """Its pulse is another one; until it is found, nobody calls it silent."""
    one = scene("static")
    one.live(10)
    one.client.status, one.age = "connecting", None
    assert one.live(20) is None
    assert not one.lookout.answers
    one.client.status = "running"
    assert one.live(HOUR) is None
    assert one.lookout.answers

    one.lookout.ask(None)
    assert one.sought == 2
    assert isinstance(one.live(70), SchedulerLost)


def test_without_our_plugin_the_clients_own_futures_tell(scene: Callable[..., Scene]) -> None:
    """Somebody else's scheduler may not take it."""
    one = scene("static")
    one.client.futures["a"] = SimpleNamespace(status="finished")
    counted = [one.lookout.ask(None) for _ in range(200)]
    assert {lost for _, lost in counted} == {None}

    one.client.futures["b"] = SimpleNamespace(status="pending")
    for _ in range(149):
        one.clock.time += 2
        assert one.lookout.ask(None) == (0, None)
    one.clock.time += 2
    one.lookout.ask(None)
    one.clock.time += 2
    _, lost = one.lookout.ask(None)

    assert isinstance(lost, WorkersLost)
    assert "no worker is left" in one.lookout.news()[0]
    assert one.lookout.news() == []


@pytest.mark.parametrize("workers", [set(), {"tcp://10.0.0.1:8788"}], ids=["any", "that one"])
def test_a_task_that_waits_in_vain_tells_how_the_last_worker_was_lost(
    scene: Callable[..., Scene], workers: set[str]
) -> None:
    """Dask's patience may end before ours, and says nothing of it."""
    one = scene("static")
    one.lookout.hearsay((0.0, facts(tag=one.lookout.hearsay._tag)))

    lost = one.lookout.blamed(NoValidWorkerError("inc-1", set(), workers, {}, 300.0))

    assert lost is not None
    assert "; the last one: pod-1 was lost while it ran inc (inc-1)" in str(lost)


def test_a_task_that_fits_no_worker_is_not_blamed_on_one_that_was_lost(
    scene: Callable[..., Scene],
) -> None:
    """There may be workers enough: what it asks for is what nobody has."""
    one = scene("static")
    one.lookout.hearsay((0.0, facts(tag=one.lookout.hearsay._tag)))

    text = str(one.lookout.blamed(UNFIT))

    assert "it asks for resources {'GPU': 1.0}" in text
    assert "or ask for less" in text
    assert "pod-1" not in text


def test_what_a_flow_raises_is_blamed_on_the_cluster_only_if_it_explains_it(
    scene: Callable[..., Scene],
) -> None:
    """A lost connection explains network errors; Dask's time-out for workers explains itself."""
    one = scene("static")

    assert one.lookout.blamed(OSError("refused")) is None
    assert one.lookout.blamed(ValueError("mine")) is None
    assert isinstance(one.lookout.blamed(UNFIT), WorkersLost)
    assert one.lookout.blamed(NoWorkerError()) is None  # not of Dask's
    one.client.status = "connecting"
    one.live(1)
    assert isinstance(one.lookout.blamed(OSError("refused")), SchedulerLost)
    assert isinstance(one.lookout.blamed(FlowFailed("its command ended")), SchedulerLost)
    assert one.lookout.blamed(ValueError("mine")) is None


@pytest.fixture
def pulse() -> Iterator[tuple[Pulse, FakeClock]]:
    """A pulse with a clock of ours."""
    clock = FakeClock()
    made = Pulse("Scheduler-1", socket.create_server(("127.0.0.1", 0)), clock)
    made.start()
    yield made, clock
    made.close()


def test_a_pulse_says_how_long_the_loop_has_stood(pulse: tuple[Pulse, FakeClock]) -> None:
    """To everybody who connects, also to impatient ones; another scheduler's is none."""
    made, clock = pulse
    clock.time += TURN_SECONDS
    assert ask_pulse("127.0.0.1", made.port, "Scheduler-1", 5) == 0
    clock.time += 14
    for _ in range(20):
        socket.create_connection(("127.0.0.1", made.port)).close()
    assert ask_pulse("127.0.0.1", made.port, "Scheduler-1", 5) == 14
    made.turn()
    assert ask_pulse("127.0.0.1", made.port, "Scheduler-1", 5) == 0
    assert ask_pulse("127.0.0.1", made.port, "Scheduler-2", 5) is None


def test_no_answer_is_no_sign_of_life(pulse: tuple[Pulse, FakeClock]) -> None:
    """Refused, taken and kept silent, or rubbish."""
    made, _ = pulse
    port = made.port
    made.close()
    assert ask_pulse("127.0.0.1", port, "Scheduler-1", 1) is None
    with socket.create_server(("127.0.0.1", 0)) as mute:
        where = mute.getsockname()[:2]
        assert ask_pulse(*where, "x", 0.2) is None
        assert answers(f"tcp://127.0.0.1:{where[1]}", 0.5, None) is False

        def babble() -> None:
            for _ in range(2):  # those who have given up above
                mute.accept()[0].close()
            for line in (b"", b"[]\n", b"x" * 10_000, json.dumps({"id": "x"}).encode()):
                taken = mute.accept()[0]
                taken.sendall(line)
                taken.close()

        thread = threading.Thread(target=babble, daemon=True)
        thread.start()
        assert [ask_pulse(*where, "x", 1) for _ in range(4)] == [None] * 4

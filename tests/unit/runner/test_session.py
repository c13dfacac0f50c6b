"""Rules of a run on a real cluster: its own output, its own counts, its own default client."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import cloudpickle
import dask as dask_library
import dask.array as da
import pytest
from distributed import Client, as_completed, get_client, get_worker, worker_client

from dask_flows.clusters import Wanted, attach
from dask_flows.clusters.session import Session
from dask_flows.clusters.tags import SEND, tag_all_clients, tag_client, tell_untagged
from dask_flows.clusters.tally import Tally
from dask_flows.deadline import Deadline, SystemClock
from dask_flows.flows.call import call

from .conftest import eventually

pytestmark = pytest.mark.processes


CLOCK = SystemClock()
# As the runner does with a flow's module: workers cannot import this one.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
Lines = list[tuple[str, str]]


@contextmanager
def session(
    address: str, tag: str = "run-1", *, mode: str = "static", lines: Lines | None = None
) -> Iterator[Session]:
    """Be a run on the cluster."""
    kept = lines if lines is not None else []
    with attach(
        Wanted(mode=mode, tag=tag, address=address, minimum=2, maximum=3),
        deadline=Deadline(60, CLOCK),
        clock=CLOCK,
        say=lambda *_, **__: None,
        hear=lambda worker, text, _: kept.append((worker, text)),
    ) as one:
        yield one


def test_clients_need_no_address(dask: Any) -> None:
    """get_client, Client() and dask.compute all mean the run's cluster; afterwards they do not."""
    with session(dask.address) as run:
        assert get_client() is run.client
        with Client() as own:
            assert own.scheduler.address == dask.address
            assert own.submit(pow, 2, 3).result() == 8
        assert get_client() is run.client
        assert int(da.arange(10, chunks=5).sum().compute()) == 45

    assert dask_library.config.get("scheduler-address", None) is None
    with pytest.raises(ValueError, match="No"):
        get_client()


def speak(n: int) -> int:
    print(f"line {n}")  # noqa: T201 - what this is about
    return n


def speak_through_worker(n: int) -> int:
    with worker_client() as client:
        return client.submit(speak, n, pure=False).result()


def test_a_run_hears_its_tasks_with_the_workers_name(dask: Any) -> None:
    """From its own client, a client the flow makes, another thread, and tasks that tasks send."""
    lines: Lines = []
    with session(dask.address, lines=lines) as run:
        run.client.submit(speak, 1, pure=False).result()
        with Client() as own:
            own.submit(speak, 2, pure=False).result()
        thread = threading.Thread(target=lambda: run.client.submit(speak, 3, pure=False).result())
        thread.start()
        thread.join()
        run.client.submit(speak_through_worker, 4, pure=False).result()
        dask_library.compute(dask_library.delayed(speak, pure=False)(5))

    assert sorted(text for _, text in lines) == [f"line {n}" for n in range(1, 6)]
    assert {worker for worker, _ in lines} <= {"pod-0", "pod-1"}


def test_runs_on_one_scheduler_do_not_hear_each_other(
    dask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although their functions have the same names, which Dask groups together.

    Nor clients that are no run's, although this process may have had a worker, whose tasks all clients tag.
    """
    monkeypatch.setattr(Client, SEND, getattr(Client, SEND))
    tag_all_clients()
    mine: Lines = []
    others: Lines = []
    outside = Client(dask.address, set_as_default=False)
    with session(dask.address, "run-1", lines=mine) as run:
        with session(dask.address, "run-2", lines=others) as other:
            other.client.gather(other.client.map(speak, range(10, 13), pure=False))
            outside.submit(speak, 99, pure=False).result()
        dask_library.config.set({"dask-flows.tag": "run-1"})
        run.client.gather(run.client.map(speak, range(3), pure=False))
    outside.close()

    assert sorted(t for _, t in mine) == ["line 0", "line 1", "line 2"]
    assert sorted(t for _, t in others) == ["line 10", "line 11", "line 12"]


def test_tasks_are_counted_by_run_and_worker(dask: Any) -> None:
    """What others do does not count; what fails counts as failed."""
    with session(dask.address, "count-me") as run:
        before = run.tasks()
        run.client.gather(run.client.map(abs, range(10), pure=False))
        failed = run.client.submit(lambda: 1 / 0, pure=False)
        failed.exception()
        tasks = run.tasks()

    assert before is not None
    assert before.total == 0
    assert tasks is not None
    assert (tasks.done, tasks.total, tasks.failed) == (10, 11, 1)
    assert sum(tasks.workers.values()) == 10
    assert set(tasks.workers) <= {"pod-0", "pod-1"}


def submit_through_a_raw_client(n: int) -> int:
    with dask_library.config.set({"distributed.client.preload": []}):
        address = get_worker().scheduler.address
        with Client(address, set_as_default=False) as raw:
            return int(raw.submit(abs, n, pure=False).result())


def test_a_client_of_a_task_tags_before_it_has_started(dask: Any) -> None:
    """A second task of the worker may use its client while that still loads what all clients load."""
    with session(dask.address, "run-early") as run:
        assert run.client.submit(submit_through_a_raw_client, -5, pure=False).result() == 5

        tasks = run.tasks()
        assert tasks is not None
        assert (tasks.done, sum(tasks.workers.values())) == (2, 2)


class Counting:
    """A scheduler with one task of run t."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}
        self.workers: dict[str, Any] = {}
        self.tasks = {"a": SimpleNamespace(annotations={"dask-flows": "t"})}


DONE, FAILED = ("processing", "memory"), ("processing", "erred")
LOST, AGAIN, FORGOTTEN = ("memory", "released"), ("erred", "released"), ("released", "forgotten")


@pytest.mark.parametrize(
    ("transitions", "done", "failed"),
    [
        ([DONE], 1, 0),
        ([DONE, LOST], 1, 0),
        ([DONE, LOST, DONE, LOST, DONE], 1, 0),
        ([DONE, LOST, FAILED], 0, 1),
        ([FAILED, AGAIN, DONE], 1, 0),
        ([DONE, LOST, FORGOTTEN, DONE], 2, 0),
        ([DONE, ("memory", "forgotten"), DONE], 2, 0),
        ([("processing", "released"), DONE], 1, 0),
    ],
)
async def test_a_task_that_ends_again_counts_once(
    transitions: list[tuple[str, str]], done: int, failed: int
) -> None:
    """As it ended last; a key that was forgotten is another task's."""
    scheduler, tally = Counting(), Tally()
    await tally.start(scheduler)
    for start, finish in transitions:
        tally.transition("a", start, finish, stimulus_id="s")

    counts = tally.read("t")
    assert (counts["done"], counts["failed"]) == (done, failed)


def test_tasks_of_a_lost_worker_count_once(start_dask: Callable[[int], Any]) -> None:
    """Although others do them once more."""
    small = start_dask(2)
    with session(small.address) as run:
        futures = run.client.map(abs, range(30), pure=False)
        run.client.gather(futures)
        held = run.client.has_what()
        assert all(held.values()), "both have something to lose"

        small.workers[0].kill()
        eventually(lambda: run.workers() == 1)
        run.client.gather(futures)
        tasks = run.tasks()

    assert tasks is not None
    assert (tasks.done, tasks.total) == (30, 30)
    assert sum(tasks.workers.values()) > 30


def test_a_client_that_cannot_tag_is_said() -> None:
    """Its run goes on, untagged."""
    said: list[str] = []
    for client in (SimpleNamespace(), SimpleNamespace(_graph_to_futures=abs)):
        tag_client(client)
        tell_untagged(client, lambda text, **_: said.append(text))

    assert len(said) == 1
    assert "does not let the run mark its tasks" in said[0]


def test_only_an_elastic_cluster_has_wishes(dask: Any) -> None:
    """Nothing to do: everybody may go; the agent keeps to the minimum."""
    with session(dask.address) as shared:
        assert shared.scaling() is None
    with session(dask.address, mode="ephemeral") as own:
        wish = own.scaling()
        assert wish is not None
        assert wish.wanted < 2
        assert set(wish.idle) <= {"pod-0", "pod-1"}
        futures = own.client.map(time.sleep, [0.5] * 800, pure=False)
        eventually(lambda: (now := own.scaling()) and now.wanted > 2 and now.idle == ())
        own.client.cancel(futures)


def sync_flow(client: Client) -> Any:
    futures = client.map(abs, [-1, -2])
    return [f.result() for f in as_completed(futures)], client.submit(pow, 2, 5)


async def async_flow(client: Client, n: int) -> Any:
    return {"awaited": await client.submit(pow, 2, n), "future": client.submit(pow, 3, n)}


async def async_without_client() -> int:
    async with Client(asynchronous=True) as client:
        return int(await client.submit(pow, 2, 2))


def delayed_flow() -> Any:
    return {"sum": dask_library.delayed(sum)([1, 2]), "array": da.ones(4, chunks=2).sum()}


def plain_flow() -> Any:
    return [1, "a", None]


FLOWS: dict[str, tuple[Callable[..., Any], dict[str, Any], list[str], Any]] = {
    "sync": (lambda client: (sorted(sync_flow(client)[0]), sync_flow(client)[1]), {}, ["client"],
             ([1, 2], 32)),
    "async": (async_flow, {"n": 2}, ["client"], {"awaited": 4, "future": 9}),
    "async without client": (async_without_client, {}, [], 4),
    "delayed": (delayed_flow, {}, [], {"sum": 3, "array": 4.0}),
    "plain": (plain_flow, {}, [], [1, "a", None]),
    "collection": (lambda: da.arange(4, chunks=2).sum(), {}, [], 6),
    "future": (lambda: get_client().submit(abs, -1), {}, [], 1),
}  # fmt: skip


def test_every_kind_of_flow_brings_its_result_home(dask: Any) -> None:
    """Futures, delayed values and collections are computed; numbers are Python's own."""
    with session(dask.address) as run:
        results = {
            name: call(function, arguments, clients, run.client)
            for name, (function, arguments, clients, _) in FLOWS.items()
        }

    assert results == {name: row[3] for name, row in FLOWS.items()}
    assert type(results["collection"]) is int


def test_a_retired_worker_hands_its_results_over(start_dask: Callable[[int], Any]) -> None:
    """SIGTERM costs no data: nothing is computed twice."""
    small = start_dask(2)
    with session(small.address) as run:
        data = run.client.submit(time.time_ns, pure=False, workers="pod-0")
        before = data.result()

        small.workers[0].send_signal(signal.SIGTERM)
        small.workers[0].wait(30)

        assert small.workers[0].returncode == 0
        assert run.client.submit(lambda x: x, data).result() == before
        assert run.lookout.news() == []  # it was not lost


def test_a_busy_worker_leaves_within_its_grace(start_dask: Callable[[int], Any]) -> None:
    """A task that runs for ever does not keep it; another worker gets the task."""
    small = start_dask(2)
    with session(small.address) as run:
        future = run.client.submit(time.sleep, 300, workers="pod-0", allow_other_workers=True)
        while not run.client.processing() or not any(run.client.processing().values()):
            time.sleep(0.05)
        begin = time.monotonic()

        small.workers[0].send_signal(signal.SIGTERM)
        small.workers[0].wait(40)

        assert time.monotonic() - begin < 30
        del future


def test_a_lost_scheduler_is_noticed(start_dask: Callable[[int], Any]) -> None:
    """Within the patience of the mode; what the flow raises then is its fault."""
    small = start_dask(1)
    with session_of_one(small.address) as run:
        future = run.client.submit(time.sleep, 300)
        small.scheduler.kill()
        error = future.exception(timeout=30) if future.status != "cancelled" else None
        end = time.monotonic() + 20
        while run.look() is None:
            assert time.monotonic() < end
            time.sleep(0.1)
        with pytest.raises(Exception) as caught:  # noqa: PT011
            future.result(timeout=5)

        assert run.blamed(caught.value)
        assert run.blamed(ValueError("the flow's own")) is None
        assert error is None or run.blamed(error)


@contextmanager
def session_of_one(address: str) -> Iterator[Session]:
    """Be a run on its own cluster of one worker."""
    with attach(
        Wanted(mode="ephemeral", tag="lost", address=address),
        deadline=Deadline(60, CLOCK),
        clock=CLOCK,
        say=lambda *_, **__: None,
        hear=lambda *_: None,
    ) as one:
        yield one

"""Rules of calling: whatever kind of callable a flow is, it runs, and its result comes home without Dask in it."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from dask_flows.clusters import Wanted, attach
from dask_flows.deadline import Deadline, SystemClock
from dask_flows.errors import BadFlow, FlowFailed
from dask_flows.flows import bind, call, load
from dask_flows.flows.callables import check_callable
from dask_flows.flows.results import plain
from dask_flows.run import Request

pytestmark = pytest.mark.processes


FLOWS = """
from __future__ import annotations
import asyncio, dataclasses, functools, threading
from collections import namedtuple
from typing import TYPE_CHECKING
import dask, dask.bag, dask.delayed, distributed
from distributed import Client, Future, as_completed, get_client, worker_client
if TYPE_CHECKING:
    from distributed import Client as Unseen

def inc(x): return x + 1
def fails(): raise ValueError("in a task")
@dask.delayed
def later(x): return x + 1
@dataclasses.dataclass
class Sum:
    total: object
    parts: list
Pair = namedtuple("Pair", "a b")

def timed(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)
    return inner

def runs(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return asyncio.run(function(*args, **kwargs))
    return inner

def plain(n: int = 1): return n + 1
async def awaited(n: int = 1):
    async with Client(asynchronous=True) as client:
        return await client.submit(inc, n, pure=False)
async def async_client(client: Client, n: int = 1): return await client.submit(inc, n, pure=False)
async def default_client(n: int = 1): return await get_client().submit(inc, n, pure=False)
def sync_client(client: Client, n: int = 1): return client.submit(inc, n, pure=False).result()

class Job:
    def __init__(self, base): self.base = base
    def run(self, n: int = 1): return self.base + n
    async def arun(self, n: int = 1): return self.base + n
    @classmethod
    def make(cls, n: int = 1): return cls(1).run(n)
    @staticmethod
    def fixed(n: int = 1): return n + 1
    def __call__(self, n: int = 1): return self.base + n
class AsyncJob:
    async def __call__(self, client: Client, n: int = 1): return await client.submit(inc, n, pure=False)
class Generating:
    def __call__(self, n: int = 1): yield n
job, call_async, generating = Job(1), AsyncJob(), Generating()

bound, bound_async = job.run, job.arun
part = functools.partial(plain, n=1)
part_async = functools.partial(async_client, n=1)
part_method = functools.partial(job.run)
decorated, decorated_async = timed(plain), timed(async_client)
decorated_async_plain = timed(default_client)
decorated_running = runs(awaited)
cached = functools.lru_cache(plain)
anonymous = lambda n=1: n + 1
delayed_function = later
delayed_value = later(1)
def hands_coroutine(n: int = 1): return default_client(n)

def futures(): return get_client().map(inc, range(3), pure=False)
def own_client():
    client = Client()
    return client.submit(inc, 1, pure=False)
def delayed(): return later(later(1))
def bag(): return dask.bag.from_sequence([1, 2, 3], npartitions=2).map(inc)
def nested():
    client = get_client()
    return {"a": [later(1), (client.submit(inc, 1, pure=False), 2)], "b": {"c": {3: later(2)}}, "d": None}
def chained(): return get_client().submit(lambda: later(1), pure=False)
def record(): return Sum(later(1), [get_client().submit(inc, 1, pure=False)])
def pair(): return Pair(later(1), 2)
def persisted(): return dask.persist(later(1))[0]
async def async_nested():
    client = get_client()
    return {"f": client.submit(inc, 1, pure=False), "d": later(1), "l": [client.persist(later(2))]}
async def async_bag(): return dask.bag.from_sequence([1, 2, 3], npartitions=2).map(inc)
def one_twice():
    future = get_client().submit(inc, 1, pure=False)
    return [future, future, {"x": future}]
def pandas_numbers():
    import numpy, pandas
    return {"a": numpy.int64(1), "b": pandas.Series([1.5]).sum(), "c": [numpy.array(3)], numpy.int64(4): 5}
def holds_itself():
    loop = [1]
    loop.append(loop)
    return loop
def unbound(): return {"again": (distributed.Future("gone-key"),)}
def failing_future(): return [get_client().submit(fails, pure=False)]
def failing_delayed(): return {"x": dask.delayed(fails)()}

def generator(): yield 1
async def async_generator(): yield 1
def returns_generator(): return (n for n in range(3))
async def async_returns_generator(): return (n for n in range(3))
"""

CALLS = [
    "plain", "awaited", "async_client", "default_client", "sync_client", "Job.make", "Job.fixed", "job",
    "job.run", "call_async", "bound", "bound_async", "part", "part_async", "part_method", "decorated",
    "decorated_async", "decorated_async_plain", "decorated_running", "cached", "anonymous", "hands_coroutine",
]  # fmt: skip

RESULTS: dict[str, Any] = {
    "futures": [1, 2, 3],
    "own_client": 2,
    "delayed": 3,
    "bag": [2, 3, 4],
    "nested": {"a": [2, (2, 2)], "b": {"c": {3: 3}}, "d": None},
    "chained": 2,
    "pair": (2, 2),
    "persisted": 2,
    "async_nested": {"f": 2, "d": 2, "l": [3]},
    "async_bag": [2, 3, 4],
    "one_twice": [2, 2, {"x": 2}],
    "pandas_numbers": {"a": 1, "b": 1.5, "c": [3], 4: 5},
}


@pytest.fixture(scope="module")
def client(dask: Any) -> Any:
    """The run's client on the shared cluster; ``Client()`` means it."""
    clock, deaf = SystemClock(), lambda *_, **__: None
    wanted = Wanted(mode="static", tag="test", address=dask.address)
    with attach(wanted, deadline=Deadline(60, clock), clock=clock, say=deaf, hear=deaf) as session:
        yield session.client
        for other in set(Client._instances) - {session.client}:  # a flow's own, which it left open
            other.close()


@pytest.fixture(scope="module")
def flow(client: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Call a flow of the file above on the shared cluster."""
    folder = tmp_path_factory.mktemp("flows")
    (folder / "kinds.py").write_text(FLOWS)

    def make(name: str, **parameters: Any) -> Any:
        with load(f"kinds.py:{name}", folder) as found:
            arguments, clients = bind(name, found.function, parameters)
            return call(found.function, arguments, clients, client)

    return make


@pytest.mark.parametrize("name", CALLS)
def test_every_kind_of_callable_is_a_flow(flow: Callable[..., Any], name: str) -> None:
    """Functions, methods, objects, partials and decorated ones, plain and async."""
    assert flow(name) == 2


@pytest.mark.parametrize("name", ["plain", "job.run", "part", "decorated_async", "call_async"])
def test_parameters_reach_the_function_below(flow: Callable[..., Any], name: str) -> None:
    """And are checked against its annotations."""
    assert flow(name, n=4) == 5
    with pytest.raises(Exception, match='n is text \\("x"\\), not int'):
        flow(name, n="x")


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_comes_home_without_dask(flow: Callable[..., Any], name: str) -> None:
    """Futures, delayed values and collections, wherever they are in it."""
    result = flow(name)

    assert result == RESULTS[name]
    json.dumps(result)  # NumPy's numbers are Python's


def test_a_delayed_function_is_a_flow(flow: Callable[..., Any]) -> None:
    """Calling it gives a delayed value, which is computed."""
    assert flow("delayed_function", x=1) == 2


def test_a_dataclass_keeps_its_class(flow: Callable[..., Any]) -> None:
    """With what its futures hold."""
    result = flow("record")

    assert dataclasses.asdict(result) == {"total": 2, "parts": [2]}
    assert type(result).__name__ == "Sum"


def test_a_result_that_holds_itself_stays_as_it_is(flow: Callable[..., Any]) -> None:
    """A flow that has done its work does not fail for what it returns."""
    result = flow("holds_itself")

    assert result[1] is result


def test_a_future_without_a_client_stays_as_it_is(flow: Callable[..., Any]) -> None:
    """The work is done: what nobody can be asked for is no reason to fail."""
    result = flow("unbound")

    assert result["again"][0].key == "gone-key"


@pytest.mark.parametrize("name", ["failing_future", "failing_delayed"])
def test_what_a_task_raises_is_raised(flow: Callable[..., Any], name: str) -> None:
    """As it is."""
    with pytest.raises(ValueError, match="in a task"):
        flow(name)


@pytest.mark.parametrize("name", ["returns_generator", "async_returns_generator"])
def test_a_returned_generator_is_refused(flow: Callable[..., Any], name: str) -> None:
    """Nobody would consume it."""
    with pytest.raises(FlowFailed, match=r"generator.*return a list"):
        flow(name)


REFUSED = [
    ("generator", "generator"),
    ("async_generator", "generator"),
    ("generating", "generator"),
    ("Job", "class"),
    ("Job.run", "method of Job without an object"),
    ("delayed_value", "delayed value"),
]


@pytest.mark.parametrize(("name", "says"), REFUSED)
def test_what_calling_would_not_run_is_refused(
    flow: Callable[..., Any], name: str, says: str
) -> None:
    """Before anything starts, with what to do."""
    with pytest.raises(BadFlow, match=says) as caught:
        flow(name)

    assert caught.value.where == f"kinds.py:{name}"
    assert caught.value.do


def test_a_strange_object_is_not_looked_into() -> None:
    """Whatever its attributes do."""

    class Strange:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

        def __call__(self) -> int:
            return 1

    strange = Strange()
    check_callable("f:strange", strange)

    with pytest.raises(BadFlow, match="signature"):
        bind("f:strange", strange, {})
    assert plain(strange) is strange
    assert plain([strange, 1]) == [strange, 1]


WAYS = """
import threading
import dask
from distributed import Client, as_completed, get_client, worker_client

def inc(x): return x + 1
def outer(n):
    with worker_client() as client:
        return sum(client.gather(client.map(inc, range(n), pure=False)))
def asks(n): return get_client().submit(inc, n, pure=False).result()
def computes(n): return dask.compute(dask.delayed(inc)(n))[0]
def in_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]

def main(n: int = 3):
    client = get_client()
    with Client() as own:
        made = own.submit(inc, n, pure=False).result()
    return {
        "scheduler": client.scheduler.address == Client.current().scheduler.address,
        "Client": made,
        "get_client": client.submit(inc, n, pure=False).result(),
        "map": client.gather(client.map(inc, range(n), pure=False)),
        "as_completed": sorted(f.result() for f in as_completed(client.map(inc, range(n), pure=False))),
        "compute": dask.compute(dask.delayed(inc)(n), [dask.delayed(inc)(0)]),
        "thread": in_thread(lambda: get_client().submit(inc, n, pure=False).result()),
        "compute in a thread": in_thread(lambda: dask.compute(dask.delayed(inc)(n))[0]),
        "worker_client": client.submit(outer, n, pure=False).result(),
        "get_client in a task": client.submit(asks, n, pure=False).result(),
        "compute in a task": client.submit(computes, n, pure=False).result(),
    }

async def asynchronous(n: int = 3):
    async with Client(asynchronous=True) as own:
        made = await own.submit(inc, n, pure=False)
    client = get_client()
    done = [await f async for f in as_completed(client.map(inc, range(n), pure=False))]
    return {"Client": made, "get_client": await client.submit(inc, n, pure=False), "as_completed": sorted(done)}
"""

EXPECTED = {
    "scheduler": True,
    "Client": 4,
    "get_client": 4,
    "map": [1, 2, 3],
    "as_completed": [1, 2, 3],
    "compute": [4, [1]],
    "thread": 4,
    "compute in a thread": 4,
    "worker_client": 6,
    "get_client in a task": 4,
    "compute in a task": 4,
}
EXPECTED_ASYNC = {"Client": 4, "get_client": 4, "as_completed": [1, 2, 3]}


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        ("main", "static", EXPECTED),
        ("asynchronous", "static", EXPECTED_ASYNC),
        ("main", "local", EXPECTED),
    ],
)
def test_dask_needs_no_arguments(  # noqa: PLR0917
    run_here: Callable[..., Any], dask: Any, tmp_path: Path, name: str, mode: str, expected: Any
) -> None:
    """In the flow, in its threads and in its tasks; on a scheduler elsewhere and on one in this process."""
    (tmp_path / "ways.py").write_text(WAYS)
    where = {"address": dask.address} if mode == "static" else {"workers": 1, "threads": 4}

    # A dashboard takes any free port, and no dashboard 8787.
    ran = run_here(Request(flow=f"ways.py:{name}", mode=mode, show_dashboard=True, **where))

    assert ran.code == 0, ran.text
    result = next(line for line in ran.lines if line.startswith("result "))
    assert json.loads(result.removeprefix("result ")) == expected


SCRIPT = """
import json, os, dask
from distributed import Client, get_client
with Client() as client:
    tagged = dask.config.get("dask-flows.tag")
    print("told", json.dumps({
        "variable": os.environ["DASK_SCHEDULER_ADDRESS"],
        "setting": dask.config.get("scheduler-address"),
        "client": client.scheduler.address,
        "tagged": bool(tagged),
        "same": get_client() is client,
        "computed": dask.compute(dask.delayed(sum)([1, 2]))[0],
    }))
"""


def test_a_command_gets_the_cluster(
    run_here: Callable[..., Any], dask: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By DASK_SCHEDULER_ADDRESS and by Dask's settings."""
    (tmp_path / "script.py").write_text(SCRIPT)

    ran = run_here(
        Request(command=["python", "script.py"], mode="static", address=dask.address),
        PATH=str(Path(sys.executable).parent),
    )

    assert ran.code == 0, ran.text
    lines = (ran.text + capfd.readouterr().out).splitlines()
    told = json.loads(
        next(line for line in lines if line.startswith("told ")).removeprefix("told ")
    )
    assert told == {
        "variable": dask.address,
        "setting": dask.address,
        "client": dask.address,
        "tagged": True,
        "same": True,
        "computed": 3,
    }

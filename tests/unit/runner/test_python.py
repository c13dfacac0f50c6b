"""Rules of using the package from Python: ``dask_flows.run`` and ``dask_flows.cluster``."""

import asyncio
import dataclasses
import gc
import inspect
import io
import os
import signal
import subprocess
import sys
import threading
import time
import typing
import weakref
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import dask
import pytest
from cloudpickle import cloudpickle
from distributed import Client, get_client
from distributed.client import default_client
from distributed.protocol import pickle

import dask_flows
from dask_flows import run
from dask_flows.cli import build_parser
from dask_flows.clusters import Tasks
from dask_flows.errors import BadParameters, DeadlineExceeded, FlowFailed, UsageError
from dask_flows.run import inside

pytestmark = pytest.mark.processes


DOCS = Path(__file__).parents[3] / "docs"
SECONDS = 60.0


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """After each test: no thread, no signal handler, no setting of Dask and no client of ours."""
    before = poison()
    for name in ("DASK_SCHEDULER_ADDRESS", "DASK_FLOWS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    yield
    end = time.monotonic() + SECONDS
    while ours := [t for t in threading.enumerate() if t.name.startswith("dask-flows")]:
        assert time.monotonic() < end, ours
        time.sleep(0.02)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    monkeypatch.undo()
    assert poison() == before
    with pytest.raises(ValueError, match="No clients"):
        default_client()


def poison() -> tuple[Any, ...]:
    """Return what a run or a cluster changes in this process while it is there."""
    names = ("DASK_SCHEDULER_ADDRESS", "DASK_INTERNAL_INHERIT_CONFIG")
    keys = (
        "scheduler-address", "scheduler", "dask-flows", "distributed.client.preload",
        "distributed.scheduler.no-workers-timeout",
    )  # fmt: skip
    settings = tuple(dask.config.get(key, default=None) for key in keys)
    return (*map(os.environ.get, names), *settings, pickle.dumps, cloudpickle._class_setstate)


class Thing:
    """A result that no record can hold."""


def answer(n: int = 2) -> Any:
    sys.stdout.write("in flow\n")
    client = get_client()
    return sum(client.gather(client.map(abs, range(n), pure=False)))


def thing() -> Thing:
    return Thing()


def fails() -> None:
    raise LookupError("no such day")


async def later() -> str:
    await asyncio.sleep(0)
    return "done"


def waits() -> Any:
    return get_client().submit(time.sleep, 60, pure=False).result()


def exits() -> None:
    sys.exit(3)


def in_thread(call: Callable[[], Any]) -> Any:
    """Return what the call returns in a thread that is not the main one."""
    kept: list[Any] = []
    thread = threading.Thread(target=lambda: kept.append(call()), name="of-a-user")
    thread.start()
    thread.join(SECONDS)
    return kept[0]


def in_loop(call: Callable[[], Any]) -> Any:
    """Return what the call returns where an event loop runs, as in a notebook's cell."""

    async def cell() -> Any:
        return call()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(cell())


def at_once(call: Callable[[], Any]) -> Any:
    """Call it in the main thread."""
    return call()


WHERE = pytest.mark.parametrize("somewhere", [at_once, in_thread, in_loop])


@WHERE
def test_a_function_runs_and_its_outcome_is_typed(dask: Any, somewhere: Callable[..., Any]) -> None:
    """In the main thread, in another one, and in a notebook: the same outcome and the same lines."""
    written = io.StringIO()
    with redirect_stdout(written):
        outcome = somewhere(
            lambda: dask_flows.run(answer, parameters={"n": 3}, address=dask.address)
        )

    assert outcome.ok
    assert outcome.check() == outcome.result == 3
    assert (outcome.outcome, outcome.exit_code, outcome.error) == ("Succeeded", 0, None)
    assert outcome.workers >= 1
    assert isinstance(outcome.tasks, Tasks)
    assert outcome.tasks.done == 3
    assert 0 < outcome.seconds < SECONDS
    lines = written.getvalue().splitlines()
    assert lines[0] == f"cluster static at {dask.address} (from --address)"
    assert "in flow" in lines
    assert lines[-1].startswith("succeeded in ")


@WHERE
def test_what_a_flow_raises_is_kept(dask: Any, somewhere: Callable[..., Any]) -> None:
    """The object itself, with its own traceback; ``check`` raises it."""
    outcome = somewhere(lambda: dask_flows.run(fails, address=dask.address, output=None))

    assert (outcome.outcome, outcome.reason, outcome.exit_code) == ("Failed", "FlowFailed", 1)
    assert "no such day" in outcome.message
    with pytest.raises(LookupError, match="no such day") as caught:
        outcome.check()
    assert any(entry.name == "fails" for entry in caught.traceback)


def test_other_kinds_of_flows_run(dask: Any, tmp_path: Path) -> None:
    """Coroutines, lambdas, references, commands; any object is a result."""
    (tmp_path / "flow.py").write_text("def main(a): return a * 2\n")
    here = {"address": dask.address, "output": None}

    assert dask_flows.run(later, **here).check() == "done"
    assert in_loop(lambda: dask_flows.run(later, **here)).check() == "done"
    assert dask_flows.run(lambda: 7, **here).check() == 7
    assert dask_flows.run("flow.py:main", parameters={"a": 4}, **here).check() == 8
    assert dask_flows.run([sys.executable, "-c", "pass"], **here).ok
    assert isinstance(dask_flows.run(thing, **here).check(), Thing)


def test_failures_of_ours_are_in_the_outcome(dask: Any) -> None:
    """With the reason and the exit code of the command line; ``check`` raises them."""
    here = {"address": dask.address, "output": None}
    wrong = dask_flows.run(answer, parameters={"m": 1}, **here)
    ended = dask_flows.run(exits, **here)
    nobody = dask_flows.run(answer, address="127.0.0.1:9", connect_timeout=0.5, output=None)

    assert (wrong.reason, wrong.exit_code) == ("BadParameters", 2)
    with pytest.raises(BadParameters):
        wrong.check()
    assert ended.exit_code == 1
    with pytest.raises(FlowFailed):
        ended.check()
    assert (nobody.reason, nobody.exit_code, nobody.tasks) == ("ClusterTimeout", 3, None)


@WHERE
def test_a_deadline_ends_it(dask: Any, somewhere: Callable[..., Any]) -> None:
    """Also a flow that waits for a result; the process and its other threads stay."""
    begin = time.monotonic()
    outcome = somewhere(
        lambda: dask_flows.run(waits, address=dask.address, deadline=2.5, output=None)
    )

    assert time.monotonic() - begin < 30
    assert (outcome.reason, outcome.exit_code) == ("DeadlineExceeded", 5)
    with pytest.raises(DeadlineExceeded):
        outcome.check()


def test_a_flow_that_cannot_be_stopped_is_left_with_a_warning(
    dask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread cannot be ended from outside; the caller is not held up by it."""
    release, begun = threading.Event(), threading.Event()
    monkeypatch.setattr(inside, "GRACE", 1.5)

    def deaf() -> None:
        begun.set()
        release.wait(SECONDS)  # in C, where nothing is raised

    with pytest.warns(ResourceWarning, match="goes on in the thread"):
        outcome = in_loop(
            lambda: dask_flows.run(deaf, address=dask.address, deadline=10.0, output=None)
        )
    assert begun.is_set(), "the deadline has ended it before"
    try:  # The next run does not take its cluster, though it is still there.
        assert os.environ.get("DASK_SCHEDULER_ADDRESS") is None
        assert dask_flows.run(answer, workers=1, threads=1, output=None).check() == 1
    finally:
        release.set()

    # Other processes of this program are no business of the run.
    assert [p.poll() for p in (dask.scheduler, *dask.workers)] == [None, None, None]
    assert outcome.reason == "DeadlineExceeded"


@pytest.mark.parametrize("somewhere", [at_once, in_loop])
def test_ctrl_c_ends_the_run_and_is_handed_on(dask: Any, somewhere: Callable[..., Any]) -> None:
    """As in any program: a loop over many runs ends, too."""
    started = threading.Event()

    def flow() -> Any:
        started.set()
        return waits()

    def interrupt() -> None:
        started.wait(SECONDS)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        pytest.fail(f"{somewhere(lambda: dask_flows.run(flow, address=dask.address, output=None))}")
    thread.join()


def test_contradictions_are_raised() -> None:
    """They are mistakes in the call, not in the run."""
    with pytest.raises(UsageError, match=r"--mode local and --address"):
        dask_flows.run(answer, mode="local", address="tcp://x:1")
    with pytest.raises(UsageError, match=r"--adapt"):
        dask_flows.cluster(adapt=(1, 2))


NOT_OPTIONS = {"flow", "command", "pairs", "attempt", "handler"}


def test_python_has_the_options_of_the_command_line() -> None:
    """By the same names, as keywords, typed, with the same defaults."""
    args = vars(build_parser().parse_args(["run", "x:y"]))
    signature = inspect.signature(dask_flows.run)
    first, *others = signature.parameters.values()
    hints = typing.get_type_hints(dask_flows.run)

    assert first.name == "flow"
    assert {p.name for p in others} == set(args) - NOT_OPTIONS
    assert {p.kind for p in others} == {inspect.Parameter.KEYWORD_ONLY}
    assert {p.name: p.default for p in others} == {p.name: args[p.name] for p in others}
    assert set(hints) == {*signature.parameters, "return"}
    assert hints["return"] is dask_flows.RunOutcome
    of_cluster = inspect.signature(dask_flows.cluster).parameters
    assert {n: p.default for n, p in of_cluster.items()} == {
        n: signature.parameters[n].default for n in of_cluster
    }


def test_an_outcome_is_frozen() -> None:
    """What has happened does not change."""
    outcome = dask_flows.RunOutcome(outcome="Succeeded")
    with pytest.raises(dataclasses.FrozenInstanceError):
        outcome.result = 1


def test_what_is_exported_is_documented_and_nothing_else_is() -> None:
    """Every public name is in the reference, and ``dir`` shows no other."""
    text = (DOCS / "reference" / "python.md").read_text()

    assert dir(dask_flows) == sorted(dask_flows.__all__)
    for name in dask_flows.__all__:
        assert getattr(dask_flows, name) is not None
        assert f"`{name}" in text or f"dask_flows.{name}" in text, name
    for field in dataclasses.fields(dask_flows.RunOutcome):
        assert f"`{field.name}`" in text, field.name
    for name in inspect.signature(dask_flows.run).parameters:
        assert f"`{name}`" in text, name
    public = {n for n in vars(dask_flows) if not n.startswith("_")}
    modules = {n for n in public if inspect.ismodule(getattr(dask_flows, n))}
    assert public - modules <= {"TYPE_CHECKING", "Any", "ModuleType", "import_module"}


def test_the_function_stays_the_function() -> None:
    """Though a package has the same name."""
    runner = import_module("dask_flows.run.runner")

    assert callable(dask_flows.run)
    assert run is dask_flows.run is not runner.run
    with pytest.raises(AttributeError, match="nothing"):
        _ = dask_flows.nothing


def test_importing_is_cheap() -> None:
    """Nobody waits for Dask before using it; the package is typed."""
    code = (
        "import sys, dask_flows\ndir(dask_flows)\n"
        "heavy = {'distributed', 'dask', 'yaml', 'kubernetes', 'aiohttp', 'rich'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (Path(dask_flows.__file__).parent / "py.typed").exists()


@WHERE
def test_a_cluster_is_there_while_its_context_lasts(
    dask: Any, somewhere: Callable[..., Any]
) -> None:
    """``Client()``, ``get_client`` and ``dask.compute`` use it."""

    def cell() -> None:
        with dask_flows.cluster(address=dask.address, output=None) as client:
            assert client.submit(abs, -1).result(SECONDS) == 1
            assert dask_compute(client)
            with Client(timeout=SECONDS, set_as_default=False) as other:
                assert other.scheduler.address == dask.address
        assert client.status == "closed"

    somewhere(cell)


def dask_compute(client: Any) -> bool:
    """Whether ``dask.compute`` and ``get_client`` go to this client's scheduler."""
    (tag,) = dask.compute(dask.delayed(os.getpid)())
    return tag != os.getpid() and get_client().scheduler.address == client.scheduler.address


def test_a_cluster_here_over_several_cells() -> None:
    """``start`` and ``close`` are as good as a context, and harmless twice."""
    cluster = dask_flows.cluster(mode="local", workers=1, threads=1, output=None)
    with pytest.raises(UsageError, match=r"test_python\.py:\d+.*start\(\)"):
        _ = cluster.client
    client = in_loop(cluster.start)
    try:
        assert cluster.start() is client is cluster.client
        assert in_thread(lambda: client.submit(abs, -2).result(SECONDS)) == 2
        assert "local, started" in repr(cluster)
    finally:
        cluster.close()
        cluster.close()
    with pytest.raises(UsageError):
        _ = cluster.client


def test_a_cluster_that_is_not_there_is_raised() -> None:
    """In time, and nothing is left."""
    with pytest.raises(dask_flows.DaskFlowsError, match="no Dask scheduler answered"):
        dask_flows.cluster(address="127.0.0.1:9", connect_timeout=0.5, output=None).start()


def test_a_forgotten_cluster_warns_and_is_closed(dask: Any) -> None:
    """With the place where it was made."""
    line = inspect.currentframe().f_lineno + 1
    cluster = dask_flows.cluster(address=dask.address, output=None)
    client = cluster.start()
    cycle = [cluster]
    cycle.append(cycle)
    del cluster, cycle
    with pytest.warns(ResourceWarning, match=rf"test_python\.py:{line}"):
        gc.collect()

    end = time.monotonic() + SECONDS
    while client.status != "closed":
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def two_clusters() -> Iterator[tuple[Any, Any]]:
    """Two clusters here, the second one opened last."""
    pair = [
        dask_flows.cluster(mode="local", workers=1, threads=1, output=None),
        dask_flows.cluster(workers=1, threads=1, output=None),
    ]
    for one in pair:
        one.start()
    yield pair[0], pair[1]
    for one in pair:
        one.close()


def test_clusters_close_in_any_order(two_clusters: tuple[Any, Any]) -> None:
    """The one that is left is still the default; a run uses it; nothing stays of either."""
    first, second = two_clusters
    address = second.client.scheduler.address
    assert first.client.scheduler.address != address
    first.close()

    assert os.environ["DASK_SCHEDULER_ADDRESS"] == address
    assert dask.config.get("scheduler-address") == address
    assert dask_compute(second.client)
    assert second.client.submit(answer_of_five).result(SECONDS) == 5
    inside = dask_flows.run(where, output=None)
    assert inside.check() == address
    own = dask_flows.run(where, workers=1, threads=1, output=None)
    assert own.check() != address
    assert dask.config.get("scheduler-address") == address
    assert get_client() is second.client


def answer_of_five() -> int:
    return 5


def where() -> str:
    """Return the scheduler that a flow's own client means."""
    with Client(timeout=SECONDS, set_as_default=False) as client:
        return str(client.scheduler.address)


def nested() -> tuple[str, str]:
    """Return the addresses of the run's cluster, and of one that the flow asks for."""
    with dask_flows.cluster(output=None) as client:
        return get_client().scheduler.address, client.scheduler.address


def test_a_cluster_inside_a_flow_is_the_runs(dask: Any) -> None:
    """By nesting, as in a process of its own; one of another thread is on its own."""
    assert set(dask_flows.run(nested, address=dask.address, output=None).check()) == {dask.address}


def test_a_second_run_is_refused_while_one_is_on(dask: Any) -> None:
    """Whatever it asks for: Dask's default client is the process's."""
    here = {"address": dask.address, "output": None}
    on, release = threading.Event(), threading.Event()

    def flow() -> str:
        with pytest.raises(UsageError, match="another run of this process is on"):
            dask_flows.run(answer, **here)
        on.set()
        assert release.wait(SECONDS)
        return where()

    kept: list[Any] = []
    thread = threading.Thread(target=lambda: kept.append(dask_flows.run(flow, **here)))
    thread.start()
    assert on.wait(SECONDS)
    with pytest.raises(UsageError, match="another run of this process is on: wait for it"):
        dask_flows.run(answer, workers=1)
    release.set()
    thread.join(SECONDS)

    assert kept[0].check() == dask.address
    assert dask_flows.run(answer, **here).ok


class Kept(Thing):
    """A result that somebody watches."""


def kept() -> Kept:
    return Kept()


@pytest.mark.parametrize("somewhere", [at_once, in_thread])
def test_nothing_holds_a_run_that_is_over(dask: Any, somewhere: Callable[..., Any]) -> None:
    """Its result, its session and all else can be collected: a service runs for months."""

    def left() -> list[Any]:
        outcome = dask_flows.run(kept, address=dask.address, output=None)
        return [weakref.ref(outcome), weakref.ref(outcome.check())]

    found = somewhere(left)
    end = time.monotonic() + SECONDS
    while alive := [one for one in gc.get_objects() if type(one).__name__ in ("_Run", "Kept")]:
        del alive
        assert time.monotonic() < end
        gc.collect()
    assert [one() for one in found] == [None, None]


LEAKING = """
import dask_flows
kept = dask_flows.cluster(mode="local", workers=1, threads=1, output=None)
def main():
    kept.start()
if __name__ == "__main__":
    main()
"""


def test_a_cluster_left_open_at_the_end_warns(start: Callable[..., Any], tmp_path: Path) -> None:
    """The program ends all the same, in time, also where the warning is an error."""
    (tmp_path / "leak.py").write_text(LEAKING)

    process = start(sys.executable, "-W", "error::ResourceWarning", "leak.py", cwd=tmp_path)

    assert process.end() == 0
    errors = "".join(process.errors)
    assert "unclosed dask_flows.cluster made at " in errors
    assert "leak.py:3" in errors


SCRIPT = """
import dask_flows
def flow(n: int):
    return n + 1
{guard}print("outcome", dask_flows.run(flow, parameters={{"n": 1}}, workers=1, threads=1).result)
"""


@pytest.mark.parametrize("guarded", [True, False])
def test_a_script_runs_on_this_machine(
    start: Callable[..., Any], tmp_path: Path, guarded: bool
) -> None:
    """Without the usual guard the worker processes would run it again: that is said."""
    guard = 'if __name__ == "__main__": ' if guarded else ""
    (tmp_path / "script.py").write_text(SCRIPT.format(guard=guard))

    process = start(sys.executable, "-W", "error", "script.py", cwd=tmp_path)
    process.end()

    if guarded:
        assert "outcome 2" in process.text, "".join(process.errors)
        assert process.complaints == []
    else:
        assert 'if __name__ == "__main__":' in "".join(process.errors)


TRACED = """
import sys, threading, dask_flows
def flow():
    return 1
def call():
    print("traced")
run = threading.Thread(target=lambda: dask_flows.run(flow, address={address!r}))
run.start()
run.join()
sys.settrace(lambda *_: None)
call()
"""


def test_a_debugger_works_after_a_run_in_a_thread(
    start: Callable[..., Any], tmp_path: Path, dask: Any
) -> None:
    """Python 3.11 would stand still at the next traced call if an exception had been taken back."""
    (tmp_path / "script.py").write_text(TRACED.format(address=dask.address))

    process = start(sys.executable, "script.py", cwd=tmp_path)
    process.wait_for("traced")

    assert process.end() == 0


def test_a_signal_ends_a_script_as_it_would_without_us(
    start: Callable[..., Any], tmp_path: Path, dask: Any
) -> None:
    """SIGTERM: the run ends properly, then the process, by that signal."""
    (tmp_path / "script.py").write_text(
        "import time, dask_flows\n"
        "def flow():\n    print('sleeping', flush=True)\n    time.sleep(300)\n"
        f"dask_flows.run(flow, address={dask.address!r})\nprint('went on')\n"
    )
    process = start(sys.executable, "script.py", cwd=tmp_path)
    process.wait_for("sleeping")

    process.send(signal.SIGTERM)

    assert process.end() == -signal.SIGTERM
    assert "cancelled after" in process.text
    assert "went on" not in process.text


def blocks(page: Path) -> list[str]:
    """Return the Python programs of a page."""
    return [part.split("```")[0] for part in page.read_text().split("```python\n")[1:]]


@pytest.mark.parametrize("number", range(len(blocks(DOCS / "how-to" / "python.md"))))
def test_the_examples_of_the_documentation_run(
    dask: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    """Each for itself, on whatever cluster the variable names."""
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", dask.address)
    (tmp_path / "flow.py").write_text("def main(day: int = 1): return day\n")
    code = blocks(DOCS / "how-to" / "python.md")[number]

    with redirect_stdout(io.StringIO()):
        exec(compile(code, f"python.md block {number}", "exec"), {"__name__": "docs"})

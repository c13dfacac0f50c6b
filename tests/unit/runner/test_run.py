"""Rules of ``dask-flows run``, as a process on a real cluster: what it prints, how it ends, how fast."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dask_flows.cli import main
from dask_flows.run import Request

from .conftest import WITHIN

pytestmark = pytest.mark.processes


FLOWS = """
import asyncio, os, signal, sys, threading, time
from pathlib import Path
import sibling
from distributed import get_client

def helper(x):
    print(f"in task {x}")
    return sibling.double(x)

def good(n: int = 2):
    print("in flow")
    return {"total": sum(get_client().gather(get_client().map(helper, range(n), pure=False)))}

def raises(): nested()
def nested(): raise ValueError("no such day")
def raises_in_task(): return get_client().submit(nested, pure=False).result()
def exits(code: int): sys.exit(code)
def exits_silently(): sys.exit()
def dies(): os._exit(3)
def large(): return "x" * 5000
def unserializable(): return object()
def leaves_thread(): threading.Thread(target=time.sleep, args=(300,)).start()

def sleeps():
    print("sleeping")
    try:
        time.sleep(300)
    finally:
        print("last words")

def waits():
    future = get_client().submit(time.sleep, 60, pure=False)
    print("in result")
    return future.result()

async def awaits():
    try:
        print("awaiting")
        await asyncio.sleep(300)
    finally:
        print("last words")

def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf")
    end = time.time() + 300
    while time.time() < end:
        time.sleep(0.1)

def swallows():
    print("swallowing")
    try:
        time.sleep(300)
    except BaseException:
        print("swallowed")
    return "fine"
"""


@pytest.fixture
def run(dask_flows: Callable[..., Any], tmp_path: Path, dask: Any) -> Callable[..., Any]:
    """Start a flow of the file above on the shared cluster."""
    (tmp_path / "flow.py").write_text(FLOWS)
    (tmp_path / "sibling.py").write_text("def double(x): return 2 * x\n")

    def make(name: str, *args: str, **changes: str) -> Any:
        address = ("--address", dask.address)
        return dask_flows("run", f"flow.py:{name}", *address, *args, **changes)

    return make


def test_the_log_alone_tells_the_run(run: Callable[..., Any], dask: Any) -> None:
    """Phases, the flow's output, workers' lines with their names, the result, who worked, the time."""
    process = run("good", "-p", "n=3", "--minimum-workers", "2")

    assert process.end() == 0
    assert process.errors == []
    lines = process.text.splitlines()
    assert lines[0] == f"cluster static at {dask.address} (from --address)"
    assert lines[1].startswith("scheduler ready in ")
    assert any(line.startswith("2 workers ready in ") for line in lines)
    assert any(line.startswith("flow loaded in ") for line in lines)
    assert lines.index("running flow.py:good") < lines.index("in flow")
    assert sum(line.endswith("] in task 1") and line.startswith("[pod-") for line in lines) == 1
    assert 'result {"total": 6}' in lines
    assert any(line.startswith("3 tasks done: pod-") for line in lines)
    assert any(line.startswith("work done by: pod-") for line in lines)
    assert lines[-1].startswith("succeeded in ")


def test_json_lines_hold_the_same(run: Callable[..., Any]) -> None:
    """Nothing else is on standard output."""
    process = run("good", "--output", "json")

    assert process.end() == 0
    events = [json.loads(line) for line in process.lines]
    assert {"phase", "output", "worker", "result", "workers", "succeeded"} <= {
        event["event"] for event in events
    }
    assert next(e for e in events if e["event"] == "result")["result"] == {"total": 2}


ENDINGS = [
    ("raises", {}, 1, "FlowFailed: ValueError: no such day"),
    ("raises_in_task", {}, 1, "FlowFailed: ValueError: no such day"),
    ("exits", {"parameters": {"code": 4}}, 1, "FlowFailed: the flow called sys.exit(4)"),
    ("exits", {"parameters": {"code": 0}}, 0, "succeeded in"),
    ("exits_silently", {}, 0, "succeeded in"),
    ("large", {}, 0, "warning: the result is not kept: the result has 5002 bytes"),
    ("unserializable", {}, 0, "warning: the result is not kept: the result is not JSON"),
    ("nothing", {}, 2, "BadFlow: there is no 'nothing'"),
    ("good", {"parameters": {"m": 1}}, 2, "BadParameters: there is no parameter m"),
    ("good", {"parameters": {"n": "x"}}, 2, "BadParameters: n is text"),
    ("sleeps", {"deadline": 1}, 5, "DeadlineExceeded: the run took longer than its deadline of 1 s"),
    ("waits", {"deadline": 2}, 5, "DeadlineExceeded"),
]  # fmt: skip


@pytest.fixture
def here(run_here: Callable[..., Any], tmp_path: Path, dask: Any) -> Callable[..., Any]:
    """Run a flow of the file above in this process."""
    (tmp_path / "flow.py").write_text(FLOWS)
    (tmp_path / "sibling.py").write_text("def double(x): return 2 * x\n")

    def make(name: str, **changes: Any) -> Any:
        request = Request(flow=f"flow.py:{name}", mode="static", address=dask.address, **changes)
        return run_here(request)

    return make


@pytest.mark.parametrize(("name", "changes", "code", "says"), ENDINGS)
def test_every_ending_has_its_code_and_its_line(
    here: Callable[..., Any], name: str, changes: dict[str, Any], code: int, says: str
) -> None:
    """A failure's line is the last."""
    ran = here(name, **changes)

    assert ran.code == code, ran.text
    assert says in ran.text
    if code:
        assert says in ran.lines[-1]


def test_the_users_traceback_comes_first_and_holds_nothing_else(here: Callable[..., Any]) -> None:
    """Of a task, too; --debug shows the rest."""
    short, long = here("raises_in_task"), here("raises_in_task", debug=True)

    assert (short.code, long.code) == (1, 1)
    assert short.text.index("ValueError: no such day") < short.text.index("FlowFailed")
    assert short.text.count("  File ") == 2
    assert "distributed" not in short.text
    assert "dask_flows" not in short.text
    assert "distributed" in long.text


def test_a_bad_flow_does_not_wait_for_a_cluster(
    dask_flows: Callable[..., Any], tmp_path: Path
) -> None:
    """Mistakes show at once."""
    (tmp_path / "flow.py").write_text("import numpyy\ndef main(): pass\n")

    process = dask_flows("run", "flow.py:main", "--address", "tcp://127.0.0.1:9")

    assert process.end() == 2
    assert "cluster static" not in process.text
    assert process.text.startswith("Traceback")
    assert 'flow.py", line 1' in process.text


def test_no_cluster_is_said_in_time(dask_flows: Callable[..., Any], tmp_path: Path) -> None:
    """Exit code 3, the address, what to do; no other noise."""
    (tmp_path / "flow.py").write_text("def main(): pass\n")

    process = dask_flows(
        "run", "flow.py:main", "--address", "127.0.0.1:9", "--connect-timeout", "1"
    )

    assert process.end() == 3
    assert "ClusterTimeout: no Dask scheduler answered within 1 s" in process.lines[-1]
    assert process.errors == []


SIGNALS = [
    ("sleeps", "sleeping", signal.SIGTERM, 143, "last words"),
    ("sleeps", "sleeping", signal.SIGINT, 130, "last words"),
    ("waits", "in result", signal.SIGTERM, 143, "cancelled after"),
    ("awaits", "awaiting", signal.SIGTERM, 143, "last words"),
    ("deaf", "deaf", signal.SIGINT, 130, "cancelled after"),
    ("swallows", "swallowing", signal.SIGTERM, 143, "swallowed"),
]


@pytest.mark.parametrize(("name", "begun", "number", "code", "says"), SIGNALS)
def test_a_signal_ends_the_run_within_five_seconds(  # noqa: PLR0917
    run: Callable[..., Any], name: str, begun: str, number: int, code: int, says: str
) -> None:
    """The flow's finally blocks run; the exit code is never 0."""
    process = run(name)
    process.wait_for(begun)
    begin = time.monotonic()

    process.send(number)

    assert process.end(15) == code
    assert time.monotonic() - begin < WITHIN
    assert says in process.text
    assert "Cancelled: interrupted by" in process.text


def test_a_signal_while_connecting_ends_the_run(
    dask_flows: Callable[..., Any], tmp_path: Path
) -> None:
    """Nobody has to wait for the time-out."""
    (tmp_path / "flow.py").write_text("def main(): pass\n")
    process = dask_flows("run", "flow.py:main", "--address", "127.0.0.1:9")
    process.wait_for("cluster static")
    begin = time.monotonic()

    process.send(signal.SIGTERM)

    assert process.end(15) == 143
    assert time.monotonic() - begin < WITHIN


def test_a_signal_while_waiting_for_workers_ends_the_run(run: Callable[..., Any]) -> None:
    """The same."""
    process = run("good", "--minimum-workers", "50")
    process.wait_for("waiting for 50")

    process.send(signal.SIGINT)

    assert process.end(15) == 130


def test_two_signals_end_the_run_at_once(run: Callable[..., Any]) -> None:
    """Whatever the flow does."""
    process = run("swallows")
    process.wait_for("swallowing")
    process.send(signal.SIGTERM)
    process.send(signal.SIGTERM)

    assert process.end(10) == 143


def test_threads_that_the_flow_leaves_do_not_keep_the_process(run: Callable[..., Any]) -> None:
    """The run is over when the flow is."""
    process = run("leaves_thread")
    process.wait_for("succeeded in")

    assert process.end(20) == 0


def test_a_lost_scheduler_ends_a_flow_that_hangs_in_result(
    start_dask: Callable[[int], Any], dask_flows: Callable[..., Any], tmp_path: Path
) -> None:
    """Exit code 4 within the patience of the mode."""
    own = start_dask(1)
    (tmp_path / "flow.py").write_text(FLOWS)
    (tmp_path / "sibling.py").write_text("")
    process = dask_flows("run", "flow.py:waits", "--mode", "ephemeral", "--address", own.address)
    process.wait_for("in result")
    begin = time.monotonic()

    own.scheduler.kill()

    assert process.end(30) == 4
    assert time.monotonic() - begin < 12
    assert "SchedulerLost" in process.lines[-1]


def test_a_lost_scheduler_ends_a_flow_that_does_something_else(
    start_dask: Callable[[int], Any], dask_flows: Callable[..., Any], tmp_path: Path
) -> None:
    """The watch does not need the flow's help."""
    own = start_dask(1)
    (tmp_path / "flow.py").write_text(FLOWS)
    (tmp_path / "sibling.py").write_text("")
    process = dask_flows("run", "flow.py:sleeps", "--mode", "ephemeral", "--address", own.address)
    process.wait_for("sleeping")

    own.scheduler.kill()

    assert process.end(30) == 4
    assert "last words" in process.text
    assert "SchedulerLost" in process.lines[-1]


COMMAND = """
import os, sys, time
from distributed import Client
def shout(x): print("in task", x); return x
def main():
    with Client() as client:
        print("sum", client.submit(sum, client.map(shout, range(3), pure=False), pure=False).result())
        if len(sys.argv) > 1 and sys.argv[1] == "exit": sys.exit(7)
        if len(sys.argv) > 1: print("holding", flush=True); time.sleep(300)
if __name__ == "__main__": main()
"""


def test_a_command_finds_the_cluster_and_its_tasks_are_heard(
    dask_flows: Callable[..., Any], tmp_path: Path, dask: Any
) -> None:
    """It knows nothing of dask-flows."""
    (tmp_path / "script.py").write_text(COMMAND)

    process = dask_flows("run", "--address", dask.address, "--", "python", "script.py")

    assert process.end() == 0, "".join(process.errors)
    assert process.errors == []
    assert "sum 3" in process.text
    assert sum(line.startswith("[pod-") for line in process.lines) == 3
    assert "work done by: pod-" in process.text


def test_a_commands_output_is_part_of_the_json_lines(
    dask_flows: Callable[..., Any], tmp_path: Path, dask: Any
) -> None:
    """And its exit code is in the outcome."""
    (tmp_path / "script.py").write_text(COMMAND)

    process = dask_flows(
        "run", "--address", dask.address, "--output", "json", "--", "python", "script.py", "exit"
    )

    assert process.end() == 1
    events = [json.loads(line) for line in process.lines]
    assert "sum 3" in [e.get("text") for e in events if e["event"] == "output"]
    assert "ended with exit code 7" in events[-1]["message"]


def test_signals_reach_a_command(dask_flows: Callable[..., Any], tmp_path: Path, dask: Any) -> None:
    """And nothing of it stays."""
    (tmp_path / "script.py").write_text(COMMAND)
    process = dask_flows("run", "--address", dask.address, "--", "python", "script.py", "hold")
    process.wait_for("holding")

    process.send(signal.SIGTERM)

    assert process.end(15) == 143
    left = subprocess.run(["pgrep", "-f", f"{tmp_path}"], check=False, capture_output=True)
    assert left.stdout == b""


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "nothing to run"),
        (["--", "no-such-program-here"], "there is no program"),
        (["--", "./no-such-script"], "there is no program"),
        (["--", "./flow.py"], "dask-flows run flow.py:main"),
        (["-p", "n=1", "--", "true"], "a command takes no parameters"),
        (["-p", "n", "flow.py:main"], "is not name=value"),
        (["flow.py:main", "--parameters", "none.yaml"], "cannot read the parameters"),
        (["flow.py:main", "--mode", "static"], "add --address"),
        (["flow.py:main", "--mode", "local", "--address", "tcp://x:1"], "leave out one"),
        (["flow.py:main", "--attempt", "nowhere"], "cannot read the attempt"),
        (["flow.py:main", "--address", "nowhere"], "is not the address of a Dask scheduler"),
        (["flow.py:main", "--workers", "0"], "give 1 or more"),
        (["flow.py:main", "--memory", "much"], "is not an amount of memory"),
    ],
)
def test_bad_usage_is_said_before_anything_starts(
    args: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, and what to write instead."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.setattr("dask_flows.cli.run._end_soon", lambda _: None)
    (tmp_path / "flow.py").write_text("def main(): pass\n")

    code = main(["run", *args])

    written = capsys.readouterr()
    assert code == 2
    assert says in written.out + written.err


def test_help_does_not_import_dask(start: Callable[..., Any]) -> None:
    """It answers at once."""
    code = (
        "import sys\nfrom dask_flows.cli import main\n"
        "try: main(['run', '--help'])\nexcept SystemExit: pass\n"
        "slow = {'distributed', 'dask', 'rich', 'yaml', 'kubernetes'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )

    assert start(sys.executable, "-c", code).end() == 0


def test_a_local_cluster_ends_with_the_run(dask_flows: Callable[..., Any], tmp_path: Path) -> None:
    """Sized as asked; what tasks print comes once; no process stays when it is interrupted."""
    (tmp_path / "flow.py").write_text(FLOWS)
    (tmp_path / "sibling.py").write_text("def double(x): return 2 * x\n")
    process = dask_flows(
        "run", "flow.py:good", "--workers", "1", "--threads", "2", "--memory", "1GiB"
    )

    assert process.end() == 0
    assert process.lines[0] == "cluster local: 1 worker with 2 threads each (default)\n"
    assert process.text.count("in task 1") == 1
    assert "[worker-0] in task 1" in process.text

    held = dask_flows("run", "flow.py:waits", "--workers", "1")
    held.wait_for("in result")
    begin = time.monotonic()
    held.send(signal.SIGTERM)

    assert held.end(15) == 143
    assert time.monotonic() - begin < WITHIN
    assert "ended by force" not in held.text


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_reader_that_leaves_does_not_end_the_run(
    start: Callable[..., Any], tmp_path: Path, output: str, dask: Any
) -> None:
    """``dask-flows run … | head -1``: the flow's outcome is the flow's."""
    (tmp_path / "flow.py").write_text(
        "import pathlib\ndef main():\n    pathlib.Path('done').touch()\n"
    )
    command = f"{sys.executable} -m dask_flows run flow.py:main --address {dask.address} --output {output}"

    process = start("bash", "-c", f"{command} | head -1; exit ${{PIPESTATUS[0]}}", cwd=tmp_path)

    assert process.end() == 0, process.errors
    assert (tmp_path / "done").exists()
    assert process.errors == []


def test_what_a_flow_has_started_ends_with_it(
    dask_flows: Callable[..., Any], tmp_path: Path, dask: Any
) -> None:
    """Also in a session of its own: after one signal nothing is left."""
    (tmp_path / "flow.py").write_text(
        "import subprocess, time\n"
        "def main():\n"
        "    one = subprocess.Popen(['sleep', '77'], start_new_session=True)\n"
        "    print('started', one.pid, flush=True)\n"
        "    time.sleep(77)\n"
    )
    process = dask_flows("run", "flow.py:main", "--address", dask.address)
    process.wait_for("started")
    pid = process.text.partition("started ")[2].split()[0]

    process.send(signal.SIGTERM)

    assert process.end(15) == 143
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()

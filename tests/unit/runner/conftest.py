"""What the runner's tests share: a real Dask cluster, the command in a process, a fake agent."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from dask_flows.config import Environment
from dask_flows.deadline import SystemClock
from dask_flows.run import Request, run
from dask_flows.run.host import Host
from dask_flows.ui import make_ui

SRC = Path(__file__).parents[3] / "runner" / "src"
EXAMPLES = SRC.parents[1] / "examples"
PATIENCE = 60.0  # seconds; only a broken program needs them
WITHIN = 5.0 + 3.0  # seconds; what is promised of a signal, and what a busy machine takes


def environment(**changes: str) -> dict[str, str]:
    """Return an environment without settings of whoever runs the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DASK_", "NO_COLOR"))}
    python = Path(sys.executable).parent
    return {
        **kept,
        "PYTHONPATH": str(SRC),
        "PATH": f"{python}:{kept.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
        **changes,
    }


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(check: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Return the first true value of the check; fails when the time is up."""
    end = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return value


@dataclass
class Process:
    """A program that was started, and the lines it has written so far."""

    popen: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._readers = [
            threading.Thread(target=self._read, args=(stream, kept), daemon=True)
            for stream, kept in (
                (self.popen.stdout, self.lines),
                (self.popen.stderr, self.errors),
            )
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any, kept: list[str]) -> None:
        with stream:
            kept.extend(iter(stream.readline, ""))

    @property
    def text(self) -> str:
        """Standard output so far."""
        return "".join(self.lines)

    @property
    def complaints(self) -> list[str]:
        """Standard error so far, but for what Dask's nannies say of a busy machine."""
        return [line for line in self.errors if "Worker process still alive after" not in line]

    def wait_for(self, text: str) -> None:
        """Wait until the text is in standard output."""
        eventually(lambda: text in self.text or self.popen.poll() is not None)
        assert text in self.text, f"{self.text}\n{''.join(self.errors)}"

    def send(self, number: int) -> None:
        """Send a signal."""
        self.popen.send_signal(number)

    def end(self, seconds: float = PATIENCE) -> int:
        """Wait for the end; returns the exit code."""
        code = self.popen.wait(seconds)
        for reader in self._readers:
            reader.join(5)
        return code


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Start programs; what is still there after the test is killed."""
    started: list[Process] = []

    def make(*command: str, cwd: Path | None = None, **changes: str) -> Process:
        popen = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment(**changes),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(Process(popen))
        return started[-1]

    yield make
    for process in started:
        if process.popen.poll() is None:
            os.killpg(process.popen.pid, signal.SIGKILL)
        process.end()


@pytest.fixture
def dask_flows(start: Callable[..., Process], tmp_path: Path) -> Callable[..., Process]:
    """Start ``dask-flows`` in the test's folder."""

    def make(*args: str, **changes: str) -> Process:
        command = (sys.executable, "-W", "error", "-m", "dask_flows", *args)
        return start(*command, cwd=tmp_path, **changes)

    return make


@dataclass
class Dask:
    """A scheduler and its workers, each a process of its own."""

    address: str
    scheduler: "subprocess.Popen[bytes]"
    workers: "list[subprocess.Popen[bytes]]"


@pytest.fixture(scope="session")
def start_dask(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[int], Dask]]:
    """Start clusters as the chart does; all are killed at the end."""
    running: list[subprocess.Popen[bytes]] = []

    def spawn(*args: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "dask", *args]
        null = subprocess.DEVNULL
        folder = tmp_path_factory.mktemp("dask")
        popen = subprocess.Popen(command, cwd=folder, env=environment(), stdout=null, stderr=null)
        running.append(popen)
        return popen

    def make(workers: int) -> Dask:
        port = free_port()
        address = f"tcp://127.0.0.1:{port}"
        scheduler = spawn("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        made = [
            spawn(
                "worker", address, "--no-nanny", "--no-dashboard", "--name", f"pod-{n}",
                # Enough for the tasks that interrupted runs leave behind: Dask cannot end them.
                "--nthreads", "8", "--memory-limit", "0", "--death-timeout", "60",
                "--preload", "dask_flows.clusters.worker_preload",
            )
            for n in range(workers)
        ]  # fmt: skip
        return Dask(address, scheduler, made)

    yield make
    for popen in running:
        popen.kill()
    for popen in running:
        popen.wait()


@pytest.fixture(scope="session")
def dask(start_dask: Callable[[int], Dask]) -> Dask:
    """A shared cluster of two workers; tests leave it as it is."""
    both = start_dask(2)
    with Client(both.address, timeout=PATIENCE, set_as_default=False) as client:
        client.wait_for_workers(2, PATIENCE)
    return both


@dataclass
class Agent:
    """A fake agent: remembers the calls; ``answer`` decides, by verb and body."""

    url: str
    calls: list[tuple[str, dict[str, Any]]]
    answer: Callable[[str, dict[str, Any]], tuple[int, dict[str, Any]]]

    def bodies(self, verb: str) -> list[dict[str, Any]]:
        """Return what was said with a verb."""
        return [body for said, body in self.calls if said == verb]


@pytest.fixture
def agent() -> Iterator[Agent]:
    """Serve the attempt channel; everything is allowed unless the test says otherwise."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            verb = self.path.rsplit("/", 1)[1]
            status, answer = fake.answer(verb, body)
            fake.calls.append((verb, body))
            try:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())
            except OSError:
                return  # the runner has gone

        def log_message(self, *args: object) -> None:
            pass

    ended = threading.Event()

    def yes(verb: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if verb == "beat":
            ended.wait(min(0.2, body["waitSeconds"]))
        return 200, {"stop": None, "deadlineSeconds": None}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake = Agent(f"http://127.0.0.1:{server.server_port}", [], yes)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield fake
    ended.set()
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class Ran:
    """How a run in this process ended, and what it wrote."""

    code: int
    text: str

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


class Guest(Host):
    """A process that goes on, and whose children are not the run's: the test's own."""

    alone = False


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ran]]:
    """Run a request in this process, which is much faster than in one of its own."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def make(request: Request, **variables: str) -> Ran:
        written = io.StringIO()
        clock = SystemClock()
        with redirect_stdout(written):
            ui = make_ui("text", clock, color=False, stream=written)
            code = run(request, ui, Environment.read(variables), clock, host=Guest())
        return Ran(code, written.getvalue())

    yield make
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        where = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        if any(str(place).startswith((str(tmp_path), str(EXAMPLES))) for place in where):
            del sys.modules[name]


@pytest.fixture
def attempt(tmp_path: Path, agent: Agent) -> Callable[..., Path]:
    """Write an attempt's folder as the agent mounts it; the flow is ``flow.py`` in the test's folder."""

    def make(parameters: dict[str, Any] | None = None, **changes: Any) -> Path:
        folder = tmp_path / "attempt"
        folder.mkdir()
        (folder / "token").write_text("s3cr3t")
        spec = {
            "run": "diamond", "namespace": "ns", "uid": "uid-1", "attempt": 1, "mode": "static",
            "flow": "flow.py:main", "command": None, "address": None, "dashboard": None,
            "minimumWorkers": 1, "maximumWorkers": 1, "startDeadlineSeconds": 30,
            "deadlineSeconds": None,
            "channel": {"url": agent.url, "tokenFile": str(folder / "token")},
            "source": str(tmp_path), "sourceZip": None, "sourceWorkdir": str(tmp_path / "unpacked"),
        }  # fmt: skip
        (folder / "attempt.json").write_text(json.dumps({**spec, **changes}))
        (folder / "parameters.json").write_text(json.dumps(parameters or {}))
        return folder

    return make

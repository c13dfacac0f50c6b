"""Rules of the watch on real processes: what is lost ends the run, what is only busy does not."""

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask as dask_library
import pytest
from distributed import Client

from dask_flows.run import Request

from .conftest import PATIENCE, eventually, free_port

pytestmark = pytest.mark.processes


PRELOAD = "dask_flows.clusters.scheduler_preload"

# A scheduler that tells of its pulse where a proxy stands.
THROUGH_PROXY = """
import os
from dask_flows.clusters.pulse import HANDLER
def dask_setup(scheduler):
    scheduler.handlers[HANDLER]()["port"] = int(os.environ["PROXY_PORT"])
"""

FLOWS = """
import ctypes, os, signal, time
from distributed import Client

def inc(n): return n + 1
def use(client): return client.submit(inc, 1, pure=False).result()

def waits(client: Client, mark: str = ""):
    future = client.submit(time.sleep, 300, pure=False)
    time.sleep(1.5)  # until the watch has begun
    if mark:
        open(mark, "w").close()
    return future.result()

def stops_scheduler(client: Client, number: int):
    pid = client.run_on_scheduler(os.getpid)
    use(client)
    time.sleep(1.5)  # until the watch has begun
    os.kill(pid, number)
    return use(client)

def holds_the_lock(client: Client, seconds: float):
    use(client)
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    time.sleep(1.5)  # some looks
    return use(client)

def keeps_scheduler_busy(client: Client, seconds: float):
    use(client)
    time.sleep(1.5)  # until the watch has begun
    client.run_on_scheduler(time.sleep, seconds)
    return use(client)

def nap(): time.sleep(300)

def kills_workers(client: Client):
    pids = client.run(os.getpid)
    futures = [client.submit(nap, workers=[one], allow_other_workers=True, pure=False) for one in pids]
    while sum(map(len, client.processing().values())) < len(pids):
        time.sleep(0.05)
    time.sleep(1)  # until a heartbeat has told what runs
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    return futures[0].result()

def piece(n): return b"x" * (60_000_000 + n)

def greedy():
    taken = []
    for n in range(20):
        taken.append(piece(n))
        time.sleep(0.1)
    time.sleep(60)

def spills_and_dies(client: Client):
    pieces = client.map(piece, range(6), pure=False)
    [client.submit(len, one).result() for one in pieces]
    time.sleep(3)  # until a heartbeat and a look have seen it
    return client.submit(greedy, pure=False).result()
"""


@pytest.fixture
def flow(tmp_path: Path) -> str:
    """Write the flows; returns the file."""
    file = tmp_path / "flow.py"
    file.write_text(FLOWS)
    return str(file)


@pytest.fixture
def cluster(start: Callable[..., Any]) -> Callable[..., str]:
    """Start a scheduler as the chart does, and workers; returns its address."""

    def make(*args: str, workers: int = 1, preload: bool = True, **variables: str) -> str:
        port = free_port()
        address = f"tcp://127.0.0.1:{port}"
        dask = (sys.executable, "-m", "dask")
        own = ("--preload", PRELOAD) if preload else ()
        start(
            *dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard",
            *own, *args, **variables,
        )  # fmt: skip
        for n in range(workers):
            start(
                *dask, "worker", address, "--no-nanny", "--no-dashboard", "--name", f"pod-{n}",
                "--nthreads", "2", "--memory-limit", "1GiB",
                "--preload", "dask_flows.clusters.worker_preload",
            )  # fmt: skip
        with Client(address, timeout=PATIENCE, set_as_default=False) as client:
            client.wait_for_workers(workers, PATIENCE)
        return address

    return make


def request(flow: str, name: str, address: str, **changes: Any) -> Request:
    """Ask for a run with short time-outs."""
    times = {
        "scheduler_timeout": 2.0,
        "workers_timeout": 2.0,
        "connect_timeout": PATIENCE,
        "deadline": PATIENCE,
    }
    return Request(
        flow=f"{flow}:{name}", folder=Path(flow).parent, mode="static", address=address,
        **{**times, **changes},
    )  # fmt: skip


@pytest.mark.parametrize(
    "how",
    [
        (signal.SIGKILL, True, "the scheduler"),
        (signal.SIGSTOP, True, "no sign of life for"),
        (signal.SIGSTOP, False, "no sign of life for"),
    ],
)
def test_a_dead_or_frozen_scheduler_ends_the_run(
    cluster: Callable[..., str], run_here: Callable[..., Any], flow: str, how: tuple[int, bool, str]
) -> None:
    """Although the flow hangs in ``result()``; one without our preload after five times the time-out."""
    number, preload, says = how
    address = cluster(preload=preload)
    timeout = 2.0 if preload else 0.5
    asked = request(
        flow, "stops_scheduler", address,
        parameters={"number": int(number)}, scheduler_timeout=timeout,
    )  # fmt: skip

    ran = run_here(asked)

    assert ran.code == 4, ran.text
    assert "SchedulerLost" in ran.lines[-1]
    assert says in ran.lines[-1]


def test_a_busy_scheduler_and_a_flow_that_keeps_the_lock_are_no_loss(
    cluster: Callable[..., str], run_here: Callable[..., Any], flow: str
) -> None:
    """For longer than the time-out: its pulse answers, and our own pause does not count.

    Also for longer than one without a pulse would get.
    """
    address = cluster()
    for name, seconds in (("keeps_scheduler_busy", 5.2), ("holds_the_lock", 3.0)):
        parameters = {"seconds": seconds}
        asked = request(flow, name, address, parameters=parameters, scheduler_timeout=0.8)
        ran = run_here(asked)

        assert ran.code == 0, ran.text
        assert ran.lines[-1].startswith("succeeded")


class Proxy:
    """Forwards connections until it is cut: then it takes everything and passes nothing on."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._cut = threading.Event()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Pass nothing on from here."""
        self._cut.set()

    def close(self) -> None:
        """End everything."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for one in (self._listener, *self._sockets):
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._sockets.append(near)
                if self._cut.is_set():
                    continue
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets.append(far)
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self._cut.is_set():
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[Callable[[int], Proxy]]:
    """Make proxies."""
    made: list[Proxy] = []

    def make(target: int) -> Proxy:
        made.append(Proxy(target))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_partition_between_run_and_scheduler_ends_the_run(
    cluster: Callable[..., str], run_here: Callable[..., Any], flow: str, tmp_path: Path,
    proxy: Callable[[int], Proxy],
) -> None:  # fmt: skip
    """Nothing is refused and nothing comes: the scheduler, its pulse and its workers are all well."""
    pulse_port = free_port()
    to_pulse = proxy(pulse_port)
    address = cluster(
        "--preload", THROUGH_PROXY,
        DASK_DASK_FLOWS__PULSE_PORT=str(pulse_port), PROXY_PORT=str(to_pulse.port),
    )  # fmt: skip
    to_scheduler = proxy(int(address.rpartition(":")[2]))
    mark, over = tmp_path / "waiting", threading.Event()

    def cut() -> None:
        eventually(lambda: mark.exists() or over.is_set())
        to_scheduler.cut()
        to_pulse.cut()

    thread = threading.Thread(target=cut)
    thread.start()
    between = f"tcp://127.0.0.1:{to_scheduler.port}"
    ran = run_here(request(flow, "waits", between, parameters={"mark": str(mark)}))
    over.set()
    thread.join()

    assert ran.code == 4, ran.text
    assert "no sign of life" in ran.lines[-1]
    with Client(address, timeout=PATIENCE, set_as_default=False) as client:
        assert len(client.scheduler_info()["workers"]) == 1


def test_workers_that_are_gone_are_named_and_end_the_run(
    cluster: Callable[..., str], run_here: Callable[..., Any], flow: str
) -> None:
    """Each with what it ran; then the run waits so long, and no longer."""
    address = cluster(workers=2)

    ran = run_here(request(flow, "kills_workers", address))

    assert ran.code == 4, ran.text
    for name in ("pod-0", "pod-1"):
        assert f"{name} was lost while it ran nap (nap-" in ran.text
    assert "of its 1.0 GiB" in ran.text
    assert "no worker is left: the run waits up to 2 s for one" in ran.lines
    assert "WorkersLost: tasks have waited" in ran.lines[-1]


def test_a_worker_that_takes_too_much_memory_is_named(
    run_here: Callable[..., Any], flow: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """When it spills, and when its nanny ends it: with its limit and the task; said once."""
    asked = Request(
        flow=f"{flow}:spills_and_dies", folder=Path(flow).parent, mode="local",
        workers=1, threads=1, memory="450MiB", connect_timeout=PATIENCE, deadline=PATIENCE,
    )  # fmt: skip
    with dask_library.config.set({"distributed.scheduler.allowed-failures": 0}):
        begin = time.monotonic()
        ran = run_here(asked)

    assert ran.code == 1, ran.text
    assert time.monotonic() - begin < PATIENCE
    lines = [line for line in ran.lines if line.startswith("worker-0 ")]
    assert "spills:" in lines[0], ran.text
    assert "its memory limit is 450.0 MiB" in lines[0]
    assert "% of its 450.0 MiB while it ran greedy (greedy-" in lines[1]
    assert len(lines) == 2
    last = ran.lines[-1]
    assert "KilledWorker: 1 worker ended while running task greedy-" in last
    assert "give workers more memory" in last
    assert "nanny" not in capfd.readouterr().err

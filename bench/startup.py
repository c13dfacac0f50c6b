"""What starting costs: the CPU time of Dask's processes in pods, an empty flow, and ``--help``.

Each group is measured in turns, its first line is the baseline of the others.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from stats import ratio, spread, write

PRELOADS = "dask_flows.clusters"
EMPTY_FLOW = "def main():\n    pass\n"
PLAIN = """
from distributed import Client, LocalCluster
if __name__ == "__main__":
    with LocalCluster(dashboard_address="127.0.0.1:0") as cluster, Client(cluster):
        pass
"""
SETTLE_SECONDS = 1.0  # after the port listens, for what a process does next

Figure = Callable[[], float]


def listening_cpu(command: Sequence[str], port: int) -> float:
    """Return the CPU seconds of a process and its children until it listens and has settled."""
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=null, stderr=null, start_new_session=True) as process:
        try:
            _await_port(process, port)
            time.sleep(SETTLE_SECONDS)
            return sum(map(_cpu, _session(process.pid)))
        finally:
            for pid in _session(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)


def wall(command: Sequence[str]) -> float:
    """Return the seconds that a command takes."""
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - begin


def scheduler(*args: str) -> Figure:
    """Measure the start of a scheduler."""

    def measure() -> float:
        port = _free_port()
        command = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1"]
        pages = ["--dashboard-address", f"127.0.0.1:{_free_port()}"]
        return listening_cpu([*command, "--port", str(port), *pages, *args], port)

    return measure


def worker(address: str, *args: str) -> Figure:
    """Measure the start of a worker."""

    def measure() -> float:
        port = _free_port()
        command = [sys.executable, "-m", "dask", "worker", address, "--worker-port", str(port)]
        pages = ["--dashboard-address", f"127.0.0.1:{_free_port()}"]
        size = ["--nthreads", "1", "--memory-limit", "1GiB"]
        return listening_cpu([*command, *size, *pages, *args], port)

    return measure


def rows(group: dict[str, Figure], repeat: int) -> list[list[str]]:
    """Measure a group in turns; returns its table rows."""
    found: dict[str, list[float]] = {name: [] for name in group}
    for turn in range(repeat):
        for name in list(group) if turn % 2 else reversed(list(group)):
            found[name].append(group[name]())
    base = next(iter(found.values()))
    return [[name, spread(values), ratio(values, base)] for name, values in found.items()]


def main() -> None:
    """Measure all groups and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=10)
    args, _ = parser.parse_known_args()
    python = sys.executable
    cli = [python, "-m", "dask_flows"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "flow.py").write_text(EMPTY_FLOW)
        (folder / "plain.py").write_text(PLAIN)
        port = _free_port()
        command = [python, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", str(port)]
        null = subprocess.DEVNULL
        with subprocess.Popen([*command, "--no-dashboard"], stdout=null, stderr=null) as peer:
            _await_port(peer, port)
            table = _all_rows(folder, f"tcp://127.0.0.1:{port}", cli, args.repeat)
            peer.kill()
    write(
        "startup",
        "What starting costs",
        ["Seconds, min / **median** / max, and the ratio to the first line of each group; measured in turns.",
         "CPU seconds count user and system time of all processes, one second after the port listens."],
        ["", "seconds", "ratio"],
        table,
    )  # fmt: skip


def _all_rows(folder: Path, address: str, cli: list[str], repeat: int) -> list[list[str]]:
    python = sys.executable
    preload = ["--preload", f"{PRELOADS}.worker_preload"]
    return [
        *rows({
            "scheduler, Dask's default (CPU)": scheduler(),
            "scheduler as in our pods: the dashboard loads when it is opened (CPU)": scheduler(
                "--no-dashboard", "--preload", f"{PRELOADS}.scheduler_preload"),
        }, repeat),
        *rows({
            "worker, Dask's default: nanny and dashboard (CPU)": worker(address),
            "worker as in our pods (CPU)": worker(address, "--no-nanny", "--no-dashboard", *preload),
        }, repeat),
        *rows({
            "LocalCluster and Client, nothing else": lambda: wall([python, str(folder / "plain.py")]),
            "`dask-flows run` of an empty flow": lambda: wall([*cli, "run", f"{folder}/flow.py:main"]),
        }, repeat),
        *rows({
            "`python -c pass`": lambda: wall([python, "-c", "pass"]),
            "`dask-flows --help`": lambda: wall([*cli, "--help"]),
            "`dask-flows run --help`": lambda: wall([*cli, "run", "--help"]),
        }, repeat),
    ]  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(process: "subprocess.Popen[bytes]", port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    raise SystemExit(f"{process.args!r} does not listen")


def _session(leader: int) -> list[int]:
    """Return the processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(_fields(folder)[3]) == leader:
                found.append(int(folder.name))
    return found


def _cpu(pid: int) -> float:
    try:
        fields = _fields(Path(f"/proc/{pid}"))
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _fields(folder: Path) -> list[str]:
    """Return the fields of ``stat`` behind the command's name."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


if __name__ == "__main__":
    main()

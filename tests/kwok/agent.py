"""The agent as a process: started, killed, measured."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from invariants.agents import kib
from kube import eventually

ROOT = Path(__file__).parents[2]
TICKS = os.sysconf("SC_CLK_TCK")


class AgentProcess:
    """One agent after the other, with the same configuration, port and log."""

    def __init__(self, config: Path, kubeconfig: Path, log: Path, port: int) -> None:
        self.config = config
        self.kubeconfig = kubeconfig
        self.log = log
        self.url = f"http://127.0.0.1:{port}"
        self.python = [sys.executable]  # a profiler may be put before the module
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._cpu_before = 0.0  # of the processes that have ended
        self._peak_before = 0

    def __enter__(self) -> Self:
        """Start it and wait until it is ready."""
        self.start()
        self.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    @property
    def pid(self) -> int:
        """The process that runs now, or ran last."""
        assert self._process is not None, "the agent was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def text(self) -> str:
        """Everything it has logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self, *args: str) -> None:
        """Start the process with these arguments besides; does not wait for it to be ready."""
        assert not self.running, "the agent runs already"
        command = [*self.python, "-m", "dask_flows", "agent", "--config", str(self.config), *args]
        env = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "PYTHONPATH": str(ROOT / "runner" / "src"),
        }
        with self.log.open("ab") as log:
            # In our process group: what ends a test that takes too long ends its agent, too.
            self._process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        self.starts += 1

    def wait_ready(self, timeout: float = 60) -> float:
        """Wait for ``/readyz``; returns the seconds this took."""
        begin = time.monotonic()
        eventually(self._ready, timeout, lambda: f"{self.url}: {self.text[-3000:]}")
        return time.monotonic() - begin

    def wait_end(self, timeout: float = 60) -> int:
        """Wait until the process ends by itself; returns its exit code."""
        assert self._process is not None
        self._note_usage_until_end(timeout)
        return self._process.wait(1)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self, timeout: float = 20) -> None:
        """End it with SIGTERM; one that does not obey is killed."""
        self._end(signal.SIGTERM, timeout)

    def restart(self, *args: str) -> float:
        """Kill it and start the next; returns the seconds until that one is ready."""
        self.kill()
        begin = time.monotonic()
        self.start(*args)
        self.wait_ready()
        return time.monotonic() - begin

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes so far."""
        return self._cpu_before + (_cpu(self.pid) if self.running else 0.0)

    def peak_mib(self) -> float:
        """Return the largest resident set of any of its processes so far."""
        return max(self._peak_before, kib(self.pid, "VmHWM") if self.running else 0) / 1024

    def rss_mib(self) -> float:
        """Return the present resident set."""
        return kib(self.pid, "VmRSS") / 1024

    def get(self, path: str) -> str:
        """Read one of its pages, such as ``/metrics``."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def _ready(self) -> bool:
        assert self.running, (
            f"the agent ended with {self._process and self._process.poll()}\n{self.text[-3000:]}"
        )
        try:
            return bool(self.get("/readyz"))
        except (urllib.error.URLError, OSError):
            return False

    def _end(self, number: int, timeout: float = 20) -> None:
        if self._process is None or not self.running:
            return
        self._note_usage()
        self._process.send_signal(number)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def _note_usage(self) -> None:
        self._cpu_before += _cpu(self.pid)
        self._peak_before = max(self._peak_before, kib(self.pid, "VmHWM"))

    def _note_usage_until_end(self, timeout: float) -> None:
        # wait4 would reap the process behind Popen's back: its last reading is good enough.
        cpu = peak = 0.0
        end = time.monotonic() + timeout
        while self.running and time.monotonic() < end:
            cpu, peak = max(cpu, _cpu(self.pid)), max(peak, kib(self.pid, "VmHWM"))
            assert self._process is not None
            try:
                self._process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        self._cpu_before += cpu
        self._peak_before = max(self._peak_before, int(peak))


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS

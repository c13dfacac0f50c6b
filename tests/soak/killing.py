"""Signals to processes in pods of this machine's own node: SIGKILL as the kernel does it, from outside."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def send(container: str, number: signal.Signals) -> int:
    """Send a signal to a container: SIGKILL to its first process, which takes the others along.

    Any other signal goes to all of them. Returns how many got it; 0 if the container is gone.
    """
    found = list(_processes(container))
    if number == signal.SIGKILL:
        found = [pid for pid in found if _is_first(pid)]
    return sum(_signal(pid, container, number) for pid in found)


def _processes(container: str) -> Iterator[int]:
    assert len(container) == 64, container  # an empty one would be in every path
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and _belongs(int(folder.name), container):
            yield int(folder.name)


def _belongs(pid: int, container: str) -> bool:
    with suppress(OSError):
        return container in Path(f"/proc/{pid}/cgroup").read_text()
    return False


def _is_first(pid: int) -> bool:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return line.split()[-1] == "1"
    return False


def _signal(pid: int, container: str, number: signal.Signals) -> bool:
    # The pidfd pins the process between the check and the signal.
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            if _belongs(pid, container):
                signal.pidfd_send_signal(descriptor, number)
                return True
        finally:
            os.close(descriptor)
    return False

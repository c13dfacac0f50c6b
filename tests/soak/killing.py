"""Signals to processes in pods of this machine's own node: SIGKILL as the kernel does it, from outside."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from invariants.agents import belongs, processes


def send(container: str, number: signal.Signals) -> int:
    """Send a signal to a container: SIGKILL to its first process, which takes the others along.

    Any other signal goes to all of them. Returns how many got it; 0 if the container is gone.
    """
    found = list(processes(container))
    if number == signal.SIGKILL:
        found = [pid for pid in found if _is_first(pid)]
    return sum(_signal(pid, container, number) for pid in found)


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
            if belongs(pid, container):
                signal.pidfd_send_signal(descriptor, number)
                return True
        finally:
            os.close(descriptor)
    return False

"""Start, recognise and stop the processes of the cluster, and only those."""

import contextlib
import json
import os
import select
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from onenode.components import Component
from onenode.paths import Paths

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOG_BYTES = 20 * 1024 * 1024
KILL_SECONDS = 5.0


@dataclass(frozen=True)
class Record:
    """Identify a process for good: a pid is reused, a pid with its start time and boot is not."""

    pid: int
    start: int
    boot: str
    spec: str


def parse_stat(text: str) -> tuple[str, int]:
    """Return state and start time from /proc/PID/stat; the name in it may hold anything."""
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def start_time(pid: int) -> int | None:
    """Return when a living process started (clock ticks since boot), else None."""
    try:
        state, start = parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else start


def boot_id() -> str:
    """Return the identifier of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def find(name: str, paths: Paths) -> Record | None:
    """Return the record of a component that is running, else None."""
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
        record = Record(**json.loads((paths.pids / name).read_text()))
        if record.boot == boot_id() and start_time(record.pid) == record.start:
            return record
    return None


def start(component: Component, spec: str, paths: Paths) -> Record:
    """Start a component in a session of its own, its output appended to its log."""
    log = log_path(component.name, paths)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        process = subprocess.Popen(
            component.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=paths.cluster,
            # Nothing of the caller's: a proxy or KUBECONFIG must not change the cluster.
            # Collecting garbage took an eighth of the API server's time; memory is not short here.
            env={"PATH": f"{paths.bin}:{PATH}", "HOME": str(paths.cluster), "GOGC": "400"},
        )
    process.returncode = 0  # it outlives us: nobody here will wait for it
    began = start_time(process.pid)
    record = Record(process.pid, -1 if began is None else began, boot_id(), spec)
    (paths.pids / component.name).write_text(json.dumps(asdict(record)))
    return record


def stop(wanted: Iterable[Component], paths: Paths) -> list[str]:
    """Ask all of them to end, wait for each, kill the rest; return the names that ran."""
    running = [(one, record) for one in wanted if (record := find(one.name, paths))]
    for _, record in running:
        _signal(record, signal.SIGTERM)
    for component, record in running:
        if not _wait(record, component.stop_seconds):
            _signal(record, signal.SIGKILL)
            _wait(record, KILL_SECONDS)
        (paths.pids / component.name).unlink(missing_ok=True)
    return [component.name for component, _ in running]


def _signal(record: Record, number: int) -> None:
    # The pidfd pins the process between the check and the signal.
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(record.pid)
        try:
            if start_time(record.pid) == record.start:
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def _wait(record: Record, seconds: float) -> bool:
    """Return whether the process ended within that time."""
    try:
        descriptor = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return True
    try:
        if start_time(record.pid) != record.start:
            return True
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def log_path(name: str, paths: Paths) -> Path:
    """Return the log of a component."""
    return paths.log / f"{name}.log"


def tail(path: Path, lines: int) -> str:
    """Return the last lines of a file, "" if there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 400 * lines))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

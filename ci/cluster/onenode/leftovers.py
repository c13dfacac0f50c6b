"""End what pods leave when the kubelet and containerd are gone: processes, mounts, cgroups.

This is what a reboot does to a node. Everything is found from our own state folder: the list of
containers in it, the cgroup in each container's specification, the shims that serve our socket.
"""

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from onenode import shell
from onenode.errors import ClusterError
from onenode.paths import Paths

CGROUPS = Path("/sys/fs/cgroup")
END_SECONDS = 10.0


def clean(paths: Paths) -> None:
    """Leave no process, mount or network namespace of a pod. Needs containerd to be stopped."""
    bundles = sorted(paths.volatile.glob("containerd/io.containerd.runtime.v2.task/k8s.io/*"))
    groups = [group for bundle in bundles for group in _cgroups(bundle)]
    _end({pid for group in groups for pid in _members(group)})
    _end(set(shims(paths.containerd_socket)))
    for bundle in bundles:
        _remove_socket(bundle)
    unmount(paths.cluster)
    _remove_cgroups()
    _remove_log_links(paths)
    shutil.rmtree(paths.volatile, ignore_errors=True)
    paths.volatile.mkdir(exist_ok=True)
    paths.containerd_socket.unlink(missing_ok=True)


def _cgroups(bundle: Path) -> list[Path]:
    """Return the container's folder in every hierarchy (one with cgroup v2, many with v1)."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        inner = json.loads((bundle / "config.json").read_text())["linux"]["cgroupsPath"]
        roots = (CGROUPS, *CGROUPS.iterdir())
        found = (root / inner.lstrip("/") for root in roots)
        return [group for group in found if (group / "cgroup.procs").exists()]
    return []


def _members(group: Path) -> Iterable[int]:
    for file in group.rglob("cgroup.procs"):
        with contextlib.suppress(OSError):
            yield from (int(word) for word in file.read_text().split())


def serves(cmdline: bytes, socket: Path) -> bool:
    """Return whether this is the command line of a shim of the containerd on that socket."""
    words = cmdline.split(b"\0")
    if not words[0].endswith(b"containerd-shim-runc-v2") or b"-address" not in words:
        return False
    position = words.index(b"-address") + 1
    return position < len(words) and words[position] == os.fsencode(socket)


def shims(socket: Path) -> Iterable[int]:
    """Return the pids of the shims of our containerd."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if serves((entry / "cmdline").read_bytes(), socket):
                    yield int(entry.name)


def _end(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + END_SECONDS
    while left := [pid for pid in pids if _alive(pid)]:
        if time.monotonic() > end:
            raise ClusterError(f"processes of pods do not end: {left}")
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def _remove_socket(bundle: Path) -> None:
    """Remove the shim's socket: it is under /run, outside our folder, but named in the bundle."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        address = json.loads((bundle / "bootstrap.json").read_text())["address"]
        Path(address.removeprefix("unix://")).unlink(missing_ok=True)


def mounts_under(folder: Path, mountinfo: str) -> list[str]:
    """Return the mount points below a folder, deepest first (from /proc/self/mountinfo)."""
    points = [line.split()[4] for line in mountinfo.splitlines()]
    plain = [point.encode().decode("unicode_escape") for point in points]
    return [point for point in reversed(plain) if point.startswith(f"{folder}/")]


def unmount(folder: Path) -> None:
    """Unmount everything below a folder; what is still busy is detached."""
    for options in ([], ["--lazy"]):
        points = mounts_under(folder, Path("/proc/self/mountinfo").read_text())
        if points:
            shell.attempt(["umount", *options, *points])


def _remove_cgroups() -> None:
    """Remove the kubelet's cgroups; the kernel refuses for those that still hold a process."""
    for root in (CGROUPS, *CGROUPS.iterdir()):
        for folder, _, _ in os.walk(root / "kubepods", topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def _remove_log_links(paths: Paths) -> None:
    """Remove the kubelet's links in /var/log/containers (a fixed place) that point to our logs."""
    with contextlib.suppress(FileNotFoundError):
        for link in Path("/var/log/containers").iterdir():
            if link.is_symlink() and link.readlink().is_relative_to(paths.log):
                link.unlink()

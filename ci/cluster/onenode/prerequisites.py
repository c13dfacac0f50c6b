"""What the machine must have, said in one line when it is missing."""

import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Mapping

from onenode import shell
from onenode.errors import UsageError
from onenode.progress import Progress

GO = (1, 26)
GO_ADVICE = "install Go 1.26 or newer from https://go.dev/dl and put it on PATH"

# Command -> Debian package.
RUNNING: Mapping[str, str] = {
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "sysctl": "procps",
    "umount": "mount",
    "openssl": "openssl",
}
BUILDING: Mapping[str, str] = {"gcc": "gcc", "pkg-config": "pkg-config"}
LIBRARIES = ("libseccomp-dev",)
IMAGES: Mapping[str, str] = {"buildah": "buildah", "debootstrap": "debootstrap"}

Which = Callable[[str], str | None]


def missing(commands: Mapping[str, str], which: Which = shutil.which) -> list[str]:
    """Return the Debian packages of the commands that are not there."""
    return sorted({package for command, package in commands.items() if not which(command)})


def check_machine() -> None:
    """Raise UsageError unless this is root on Linux."""
    if platform.system() != "Linux":
        raise UsageError(
            f"the cluster runs on Linux, this is {platform.system()}",
            do="use kind, minikube or any cluster of yours: see ci/cluster/README.md",
        )
    if os.geteuid() != 0:
        raise UsageError("the cluster needs root (namespaces, mounts, routes)", do="use sudo")


def check_running() -> None:
    """Raise UsageError if something that `up` needs is missing."""
    check_machine()
    _refuse(missing(RUNNING))


def check_building() -> None:
    """Raise UsageError if something that `build` needs is missing."""
    packages = missing(BUILDING)
    if not packages and shell.attempt(["pkg-config", "--exists", "libseccomp"]).returncode != 0:
        packages = list(LIBRARIES)
    _refuse(packages)
    if not shutil.which("go"):
        raise UsageError("no Go", where="PATH", do=GO_ADVICE)
    version = shell.run(["go", "env", "GOVERSION"]).strip()
    if parse_go(version) < GO:
        raise UsageError(f"{version} is too old", where=str(shutil.which("go")), do=GO_ADVICE)


def parse_go(version: str) -> tuple[int, int]:
    """Read `go1.26.8` or `go1.27rc1`; a development version counts as new."""
    found = re.match(r"go(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (999, 0)


def _refuse(packages: Iterable[str]) -> None:
    if names := " ".join(packages):
        raise UsageError(
            f"missing: {names}",
            where="this machine",
            do=f"apt-get install --yes {names} (or `python3 ci/cluster build --install`)",
        )


def install(progress: Progress) -> None:
    """Install the missing Debian packages, those for building images included."""
    check_machine()
    packages = missing({**RUNNING, **BUILDING, **IMAGES})
    if shell.attempt(["dpkg", "--status", *LIBRARIES]).returncode != 0:
        packages.extend(LIBRARIES)
    if not packages:
        return
    if not shutil.which("apt-get"):
        raise UsageError(f"missing: {' '.join(packages)}", do="install them; there is no apt-get")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with progress.step(f"apt-get install {' '.join(packages)}"):
        shell.run(["apt-get", "update", "--quiet"], seconds=600, env=env)
        apt = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
        shell.run(apt, seconds=900, env=env)

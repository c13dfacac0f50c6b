"""The programs built from source: one table of pins, one way to build."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onenode import shell
from onenode.errors import ClusterError
from onenode.paths import Paths
from onenode.progress import Progress

MODULES = Path(__file__).resolve().parent.parent / "tools"
KUBERNETES = "1.36.3"
HELM4 = "4.3.1"
HELM3 = "3.22.0"
BUILD_SECONDS = 45 * 60.0

_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
_CNI = "github.com/containernetworking/plugins/plugins"


@dataclass(frozen=True)
class Edit:
    """Describe a change of a source file: a mistake that no release has mended."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Tool:
    """Describe one build.

    `packages` maps a binary's name to its Go package. Without `module` a package carries its
    version (`path@v1`); with it, the versions are in `tools/<module>/go.mod`, because the tools
    need different versions of the same modules. `links` are more names for the first binary.
    `edits` change a copy of the sources of `origin` (`module@v1`), where the package is then built.
    """

    name: str
    packages: Mapping[str, str]
    module: str = ""
    ldflags: str = ""
    tags: str = ""
    cgo: bool = False
    links: tuple[str, ...] = ()
    for_cluster: bool = True
    # Not in the repr, from which keys are made: no other tool is built again because one has these.
    origin: str = field(default="", repr=False)
    edits: tuple[Edit, ...] = field(default=(), repr=False)


def _variables(values: Mapping[str, str]) -> str:
    """Return linker flags that set variables of Go packages."""
    return " ".join(f"-X {name}={value}" for name, value in values.items())


def _kubernetes_version() -> str:
    """Set the version variables without which the API server refuses to start."""
    major, minor, _ = KUBERNETES.split(".")
    values = {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "0000000",
        "buildDate": "2026-01-01T00:00:00Z",
    }
    return _variables({f"k8s.io/component-base/version.{k}": v for k, v in values.items()})


def _helm3_version() -> str:
    """Set what Helm 3 cannot know by itself: unset, it renders charts for Kubernetes 1.20."""
    helm = "helm.sh/helm/v3"
    places = (f"{helm}/pkg/chartutil", f"{helm}/pkg/lint/rules")
    values = {f"{helm}/internal/version.version": f"v{HELM3}"}
    values |= {f"{place}.k8sVersionMajor": "1" for place in places}
    values |= {f"{place}.k8sVersionMinor": "37" for place in places}
    return _variables(values)


TOOLS: tuple[Tool, ...] = (
    Tool(
        "hyperkube",
        {"hyperkube": "."},
        module="hyperkube",
        ldflags=_kubernetes_version(),
        links=("kubectl",),
    ),
    Tool(
        "containerd",
        {
            name: f"{_CONTAINERD}/{name}@v2.4.2"
            for name in ("containerd", "containerd-shim-runc-v2", "ctr")
        },
    ),
    Tool("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}, module="etcd"),
    Tool("coredns", {"coredns": "."}, module="coredns"),
    Tool("netpol", {"netpol": "."}, module="netpol"),
    Tool("pause", {"pause": "."}, module="pause"),
    Tool(
        "runc",
        {"runc": "github.com/opencontainers/runc"},
        module="runc",
        tags="seccomp",
        cgo=True,
    ),
    Tool(
        "cni",
        {
            "ptp": f"{_CNI}/main/ptp@v1.9.1",
            "loopback": f"{_CNI}/main/loopback@v1.9.1",
            "host-local": f"{_CNI}/ipam/host-local@v1.9.1",
        },
    ),
    Tool(
        "helm",
        {"helm4": f"helm.sh/helm/v4/cmd/helm@v{HELM4}"},
        ldflags=_variables({"helm.sh/helm/v4/internal/version.version": f"v{HELM4}"}),
        links=("helm",),
        for_cluster=False,
    ),
    Tool(
        "helm3",
        {"helm3": f"helm.sh/helm/v3/cmd/helm@v{HELM3}"},
        ldflags=_helm3_version(),
        for_cluster=False,
    ),
    Tool(
        "kwok",
        {"kwok": "./cmd/kwok"},
        origin="sigs.k8s.io/kwok@v0.8.0",
        edits=(
            # It asks for every watch from the beginning, also when one goes on after its time-out of some
            # minutes: all pods come again, one by one. With thousands the API server takes it for hung
            # before it has seen them all, and ends the watch: from then on it does nothing else.
            Edit(
                "pkg/utils/informer/event.go",
                "if !o.EnableListPager || o.EnableStreamWatch {",
                'if opts.ResourceVersion == "" && (!o.EnableListPager || o.EnableStreamWatch) {',
            ),
        ),
        for_cluster=False,
    ),
    Tool(
        "ct",
        {"ct": "github.com/helm/chart-testing/v3/ct"},
        module="ct",
        for_cluster=False,
    ),
)


def key(tool: Tool, modules: Path = MODULES) -> str:
    """Hash everything that decides what the build gives: pins, flags, go.mod, sources."""
    digest = hashlib.sha256(repr(tool).encode())
    if tool.edits:
        digest.update(repr((tool.origin, tool.edits)).encode())
    if tool.module:
        for file in sorted((modules / tool.module).iterdir()):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def stale(tools: Iterable[Tool], paths: Paths) -> list[Tool]:
    """Return the tools whose binaries are missing or were built from something else."""
    return [tool for tool in tools if not _is_current(tool, paths)]


def _is_current(tool: Tool, paths: Paths) -> bool:
    stamp = paths.stamps / tool.name
    built = all((paths.bin / name).exists() for name in (*tool.packages, *tool.links))
    return built and stamp.exists() and stamp.read_text() == key(tool)


def build(tools: Iterable[Tool], paths: Paths, progress: Progress) -> None:
    """Build what is stale, one tool after the other (each uses every core already)."""
    waiting = stale(tools, paths)
    for number, tool in enumerate(waiting, 1):
        with progress.step(f"build {tool.name} ({number} of {len(waiting)})"):
            _build(tool, paths)


def _build(tool: Tool, paths: Paths) -> None:
    with tempfile.TemporaryDirectory(dir=paths.bin, prefix=".build-") as folder:
        out = Path(folder)
        for name, package in tool.packages.items():
            _compile(tool, package, out / name, paths)
        for name in tool.packages:
            # A rename, so that a running process keeps the binary it was started from.
            (out / name).replace(paths.bin / name)
    first = next(iter(tool.packages))
    for link in tool.links:
        (paths.bin / link).unlink(missing_ok=True)
        (paths.bin / link).symlink_to(first)
    (paths.stamps / tool.name).write_text(key(tool))


def _compile(tool: Tool, package: str, out: Path, paths: Paths) -> None:
    log = paths.build_log / f"build-{tool.name}.log"
    done = shell.attempt(
        command(tool, package, out),
        seconds=BUILD_SECONDS,
        env=_environment(tool, out.parent),
        cwd=_sources(tool, out.parent, paths),
    )
    log.write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise ClusterError(f"the build of {tool.name} failed:\n{tail}\n", where=str(log))
    if not (tool.module or tool.edits):
        installed = out.parent / Path(package.partition("@")[0]).name
        installed.rename(out)


def _sources(tool: Tool, folder: Path, paths: Paths) -> Path:
    """Return where to build: in the tool's own module, in an edited copy, or anywhere."""
    if not tool.edits:
        return MODULES / tool.module if tool.module else paths.bin
    fetch = ["go", "mod", "download", "-json", tool.origin]
    module = json.loads(shell.attempt(fetch, seconds=BUILD_SECONDS).stdout or "{}")
    if "Dir" not in module:
        raise ClusterError(module.get("Error", "no answer"), where=" ".join(fetch))
    copy = folder / "sources"
    shutil.copytree(module["Dir"], copy, copy_function=shutil.copyfile)
    for path in (copy, *copy.rglob("*/")):
        path.chmod(0o755)  # Go keeps its own read-only
    for edit in tool.edits:
        apply(edit, copy)
    return copy


def apply(edit: Edit, sources: Path) -> None:
    """Change a file; raises ClusterError if it is not the one that the edit was made for."""
    file = sources / edit.file
    text = file.read_text()
    if text.count(edit.old) != 1:
        raise ClusterError(f"an edit does not fit: `{edit.old}`", where=edit.file)
    file.write_text(text.replace(edit.old, edit.new))


def command(tool: Tool, package: str, out: Path) -> list[str]:
    """Return the go command; the flags leave no path of this machine in the binary."""
    local = tool.module or tool.edits
    verb = ["build", "-mod=mod", "-o", str(out)] if local else ["install"]
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {tool.ldflags}".strip()]
    tags = ["-tags", tool.tags] if tool.tags else []
    return ["go", *verb, *flags, *tags, package]


def _environment(tool: Tool, folder: Path) -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "1" if tool.cgo else "0", "GOBIN": str(folder)}


def clean_builds(paths: Paths) -> None:
    """Remove what an interrupted build left."""
    for folder in paths.bin.glob(".build-*"):
        shutil.rmtree(folder, ignore_errors=True)

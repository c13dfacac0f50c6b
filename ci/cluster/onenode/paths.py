"""Where everything is kept: one cache folder, one state folder under it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onenode.errors import UsageError

# A unix socket's path holds at most 107 bytes; the kubelet's longest is this one.
LONGEST_SOCKET = "kubelet/pod-resources/kubelet.sock"
SOCKET_LIMIT = 107


@dataclass(frozen=True)
class Paths:
    """Name the folders and files of this program; nothing else builds a path from parts.

    `cache` outlives clusters (binaries, downloads); `cluster` is the state of one cluster.
    """

    cache: Path
    cluster: Path

    @property
    def bin(self) -> Path:
        return self.cache / "bin"

    @property
    def stamps(self) -> Path:
        return self.cache / "bin" / ".stamps"

    @property
    def build_log(self) -> Path:
        return self.cache / "log"

    @property
    def pki(self) -> Path:
        return self.cluster / "pki"

    @property
    def config(self) -> Path:
        return self.cluster / "config"

    @property
    def log(self) -> Path:
        return self.cluster / "log"

    @property
    def pids(self) -> Path:
        return self.cluster / "pids"

    @property
    def etcd(self) -> Path:
        return self.cluster / "etcd"

    @property
    def kubelet(self) -> Path:
        return self.cluster / "kubelet"

    @property
    def volatile(self) -> Path:
        """Hold what a reboot would empty: containerd's and runc's run-time state, pod addresses."""
        return self.cluster / "volatile"

    @property
    def containerd_socket(self) -> Path:
        return self.cluster / "containerd.sock"

    @property
    def kubeconfig(self) -> Path:
        return self.cluster / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.log / "audit.log"

    @property
    def lock(self) -> Path:
        return self.cache / "cluster.lock"

    def make(self) -> None:
        """Create the folders; only root may look into the state (it holds keys)."""
        for folder in (self.stamps, self.build_log, self.pki, self.config, self.log, self.pids):
            folder.mkdir(parents=True, exist_ok=True)
        self.volatile.mkdir(exist_ok=True)
        self.cluster.chmod(0o700)


def from_environ(env: Mapping[str, str]) -> Paths:
    """Read DASK_FLOWS_CACHE, DASK_FLOWS_CLUSTER and XDG_CACHE_HOME.

    Raises UsageError for a state folder whose path leaves no room for unix sockets.
    """
    home = Path(env.get("XDG_CACHE_HOME") or Path(env.get("HOME", "/root")) / ".cache")
    cache = Path(env.get("DASK_FLOWS_CACHE") or home / "dask-flows").absolute()
    cluster = Path(env.get("DASK_FLOWS_CLUSTER") or cache / "cluster").absolute()
    if len(str(cluster / LONGEST_SOCKET).encode()) > SOCKET_LIMIT:
        raise UsageError(
            f"the path is too long for unix sockets: {cluster}",
            where="DASK_FLOWS_CLUSTER",
            do=f"choose one of at most {SOCKET_LIMIT - len(LONGEST_SOCKET) - 1} bytes",
        )
    return Paths(cache=cache, cluster=cluster)

"""The processes of the cluster: one table, in the order of their start."""

from dataclasses import dataclass

from onenode.network import API_URL, NODE, NODE_IP, QUEUE, SERVICE_CIDR
from onenode.paths import Paths
from onenode.pki import kubeconfig_path

ETCD = "http://127.0.0.1:2379"


@dataclass(frozen=True)
class Component:
    """Describe one process.

    Components of a `wave` start together, after those of the waves before; they stop in the
    reverse order. `ready` is the address that answers 200 (or the socket that accepts) when the
    component works; `config` names the files it reads, so that a change of them restarts it.
    """

    name: str
    wave: int
    argv: tuple[str, ...]
    ready: str
    tool: str = "hyperkube"
    config: tuple[str, ...] = ()
    ready_seconds: float = 60.0
    stop_seconds: float = 10.0


def components(paths: Paths) -> tuple[Component, ...]:
    """Return the table for the given folders."""
    return (
        _etcd(paths),
        _containerd(paths),
        _apiserver(paths),
        _coredns(paths),
        _controller_manager(paths),
        _scheduler(paths),
        _proxy(paths),
        _netpol(paths),
        _kubelet(paths),
    )


def _etcd(paths: Paths) -> Component:
    peer = "http://127.0.0.1:2380"
    argv = (
        f"{paths.bin}/etcd",
        f"--data-dir={paths.etcd}",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",  # the state is worth less than the time
        "--log-level=warn",
    )
    return Component("etcd", 0, argv, f"{ETCD}/readyz", tool="etcd")


def _containerd(paths: Paths) -> Component:
    argv = (f"{paths.bin}/containerd", "--config", f"{paths.config}/containerd.toml")
    return Component(
        "containerd",
        0,
        argv,
        f"unix:{paths.containerd_socket}",
        tool="containerd",
        config=("containerd.toml", "cni/10-pods.conflist"),
    )


def _apiserver(paths: Paths) -> Component:
    pki = paths.pki
    argv = (
        f"{paths.bin}/hyperkube",
        "kube-apiserver",
        f"--etcd-servers={ETCD}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--advertise-address={NODE_IP}",
        f"--bind-address={NODE_IP}",
        "--secure-port=6443",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--kubelet-client-certificate={pki}/admin.crt",
        f"--kubelet-client-key={pki}/admin.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged",
        f"--audit-policy-file={paths.config}/audit.yaml",
        f"--audit-log-path={paths.audit_log}",
        "--audit-log-maxsize=50",
        "--audit-log-maxbackup=8",
    )
    ready = f"{API_URL}/readyz"
    return Component(
        "apiserver",
        1,
        argv,
        ready,
        config=("audit.yaml",),
        ready_seconds=120.0,
        stop_seconds=4.0,  # with clients connected it would drain for a minute
    )


def _coredns(paths: Paths) -> Component:
    argv = (f"{paths.bin}/coredns", "-conf", f"{paths.config}/Corefile")
    ready = "http://127.0.0.1:8181/ready"
    return Component("coredns", 2, argv, ready, tool="coredns", config=("Corefile",))


def _controller_manager(paths: Paths) -> Component:
    argv = (
        f"{paths.bin}/hyperkube",
        "kube-controller-manager",
        f"--kubeconfig={kubeconfig_path(paths, 'controller-manager')}",
        "--bind-address=127.0.0.1",
        f"--service-account-private-key-file={paths.pki}/sa.key",
        f"--root-ca-file={paths.pki}/ca.crt",
        f"--cluster-signing-cert-file={paths.pki}/ca.crt",
        f"--cluster-signing-key-file={paths.pki}/ca.key",
        "--use-service-account-credentials",
        "--leader-elect=false",
        # Ten times the default: measurements of many runs at once must say so.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    )
    return Component("controller-manager", 2, argv, "https://127.0.0.1:10257/healthz")


def _scheduler(paths: Paths) -> Component:
    argv = (
        f"{paths.bin}/hyperkube",
        "kube-scheduler",
        f"--kubeconfig={kubeconfig_path(paths, 'scheduler')}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    )
    return Component("scheduler", 2, argv, "https://127.0.0.1:10259/healthz")


def _proxy(paths: Paths) -> Component:
    argv = (f"{paths.bin}/hyperkube", "kube-proxy", f"--config={paths.config}/proxy.yaml")
    return Component("proxy", 2, argv, "http://127.0.0.1:10256/healthz", config=("proxy.yaml",))


def _netpol(paths: Paths) -> Component:
    """Apply NetworkPolicies; it answers once it knows all pods and policies and reads the queue."""
    server = "127.0.0.1:10246"
    argv = (
        f"{paths.bin}/netpol",
        f"--kubeconfig={kubeconfig_path(paths, 'admin')}",
        f"--node={NODE}",
        f"--queue={QUEUE}",
        f"--ready={server}",
    )
    return Component("netpol", 2, argv, f"http://{server}/ready", tool="netpol")


def _kubelet(paths: Paths) -> Component:
    argv = (
        f"{paths.bin}/hyperkube",
        "kubelet",
        f"--kubeconfig={kubeconfig_path(paths, 'kubelet')}",
        f"--config={paths.config}/kubelet.yaml",
        f"--root-dir={paths.kubelet}",
        f"--hostname-override={NODE}",
        f"--node-ip={NODE_IP}",
    )
    return Component("kubelet", 2, argv, "http://127.0.0.1:10248/healthz", config=("kubelet.yaml",))

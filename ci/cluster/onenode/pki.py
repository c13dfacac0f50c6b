"""Keys, certificates and kubeconfigs of the cluster."""

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from onenode import shell
from onenode.network import API_IP, API_URL, NODE, NODE_IP
from onenode.paths import Paths

DAYS = "3650"


@dataclass(frozen=True)
class Identity:
    """Name one certificate: its subject, its use (serverAuth, clientAuth), its other names."""

    name: str
    subject: str
    usage: str = "clientAuth"
    names: tuple[str, ...] = ()


API_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
IDENTITIES = (
    Identity(
        "apiserver",
        "/CN=kube-apiserver",
        "serverAuth",
        (
            f"IP:{NODE_IP}",
            f"IP:{API_IP}",
            "IP:127.0.0.1",
            *(f"DNS:{name}" for name in API_NAMES),
            "DNS:kubernetes.default.svc.cluster.local",
        ),
    ),
    Identity("kubelet-server", f"/CN={NODE}", "serverAuth", (f"IP:{NODE_IP}", f"DNS:{NODE}")),
    Identity("admin", "/O=system:masters/CN=admin"),
    Identity("controller-manager", "/CN=system:kube-controller-manager"),
    Identity("scheduler", "/CN=system:kube-scheduler"),
    Identity("kubelet", f"/O=system:nodes/CN=system:node:{NODE}"),
    Identity("proxy", "/CN=system:kube-proxy"),
)


def ensure(paths: Paths) -> bool:
    """Make everything once, and again if an identity changed; return whether it was made."""
    stamp = paths.pki / "stamp"
    wanted = hashlib.sha256(repr((IDENTITIES, API_URL)).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return False
    _make_authority(paths.pki)
    for identity in IDENTITIES:
        _make_certificate(paths.pki, identity)
    for identity in IDENTITIES:
        if identity.usage == "clientAuth":
            _write_private(kubeconfig_path(paths, identity.name), _kubeconfig(paths.pki, identity))
    _write_private(paths.kubeconfig, _kubeconfig(paths.pki, IDENTITIES[2]))
    stamp.write_text(wanted)
    return True


def kubeconfig_path(paths: Paths, name: str) -> Path:
    """Return the kubeconfig of one identity."""
    return paths.pki / f"{name}.kubeconfig"


def openssl_config(identity: Identity) -> str:
    """Write the request file: nothing is taken from the machine's own openssl.cnf."""
    lines = [
        "[req]",
        "distinguished_name = subject",
        "[subject]",
        "[extensions]",
        "basicConstraints = critical,CA:FALSE",
        "keyUsage = critical,digitalSignature",
        f"extendedKeyUsage = {identity.usage}",
    ]
    if identity.names:
        lines.append(f"subjectAltName = {','.join(identity.names)}")
    return "\n".join(lines) + "\n"


def _make_authority(pki: Path) -> None:
    config = pki / "ca.cnf"
    config.write_text(
        "[req]\ndistinguished_name = subject\n[subject]\n[extensions]\n"
        "basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,cRLSign\n"
        "subjectKeyIdentifier = hash\n"
    )
    _request(pki, "ca", "/CN=dask-flows-test-ca", config, [])
    shell.run(["openssl", "genrsa", "-out", pki / "sa.key", "2048"])
    shell.run(["openssl", "rsa", "-in", pki / "sa.key", "-pubout", "-out", pki / "sa.pub"])


def _make_certificate(pki: Path, identity: Identity) -> None:
    config = pki / f"{identity.name}.cnf"
    config.write_text(openssl_config(identity))
    signer = ["-CA", str(pki / "ca.crt"), "-CAkey", str(pki / "ca.key")]
    _request(pki, identity.name, identity.subject, config, signer)


def _request(pki: Path, name: str, subject: str, config: Path, signer: list[str]) -> None:
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    files = ["-keyout", str(pki / f"{name}.key"), "-out", str(pki / f"{name}.crt")]
    content = ["-days", DAYS, "-subj", subject, "-config", str(config), "-extensions", "extensions"]
    shell.run(["openssl", "req", "-x509", *curve, *files, *signer, *content])


def _kubeconfig(pki: Path, identity: Identity) -> str:
    def read(name: str) -> str:
        return base64.b64encode((pki / name).read_bytes()).decode()

    cluster = {"server": API_URL, "certificate-authority-data": read("ca.crt")}
    user = {
        "client-certificate-data": read(f"{identity.name}.crt"),
        "client-key-data": read(f"{identity.name}.key"),
    }
    name = "dask-flows"
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": identity.name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": identity.name}}],
            "current-context": name,
        },
        indent=1,
    )


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)

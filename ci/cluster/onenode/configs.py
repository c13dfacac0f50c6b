"""The configuration files of the components, as pure text."""

import json

from onenode.network import NODE, NODE_IP, POD_CIDR
from onenode.paths import Paths
from onenode.pki import kubeconfig_path

PAUSE_IMAGE = "registry.local/pause:1"
NETWORK = "dask-flows"


def files(paths: Paths) -> dict[str, str]:
    """Return every file of the config folder by its name."""
    return {
        "containerd.toml": containerd(paths),
        "cni/10-pods.conflist": cni(paths),
        "kubelet.yaml": kubelet(paths),
        "proxy.yaml": proxy(paths),
        "Corefile": corefile(paths),
        "audit.yaml": audit(),
    }


def write(paths: Paths) -> None:
    """Write the config folder; kube-proxy ends itself when its file is only touched."""
    for name, text in files(paths).items():
        path = paths.config / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def containerd(paths: Paths) -> str:
    """Keep all of containerd's state in our folders; switch off what would write elsewhere."""
    return f"""\
version = 3
root = "{paths.cluster}/containerd"
state = "{paths.volatile}/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{paths.containerd_socket}"
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{PAUSE_IMAGE}"
[plugins.'io.containerd.cri.v1.runtime']
  # Without CAP_SYS_RESOURCE a lower oom_score_adj is refused and no container starts.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = "{paths.bin}/runc"
      Root = "{paths.volatile}/runc"
      SystemdCgroup = false
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["{paths.bin}"]
    conf_dir = "{paths.config}/cni"
"""


def cni(paths: Paths) -> str:
    """Route every pod through the host: needs no bridge filtering for Services to work."""
    ipam = {
        "type": "host-local",
        "dataDir": f"{paths.volatile}/addresses",
        "ranges": [[{"subnet": POD_CIDR}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugin = {"type": "ptp", "ipMasq": False, "ipam": ipam}
    return json.dumps({"cniVersion": "1.0.0", "name": NETWORK, "plugins": [plugin]}, indent=1)


def kubelet(paths: Paths) -> str:
    """Configure the kubelet for a machine whose cgroups and disk belong to others too."""
    return f"""\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {NODE_IP}
failCgroupV1: false
cgroupDriver: cgroupfs
containerRuntimeEndpoint: unix://{paths.containerd_socket}
podLogsDir: {paths.log}/pods
volumePluginDir: {paths.kubelet}/volume-plugins
clusterDNS: [{NODE_IP}]
clusterDomain: cluster.local
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: {paths.pki}/ca.crt}}
authorization: {{mode: Webhook}}
tlsCertFile: {paths.pki}/kubelet-server.crt
tlsPrivateKeyFile: {paths.pki}/kubelet-server.key
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}}
# Loaded images exist nowhere else: the kubelet must never collect them.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
# After a restart the node reports NotReady once, and the next report decides when `up` ends.
nodeStatusUpdateFrequency: 1s
nodeStatusReportFrequency: 5m
serializeImagePulls: false
registryPullQPS: 0
maxPods: 250
failSwapOn: false
"""


def proxy(paths: Paths) -> str:
    """Configure kube-proxy: iptables mode, every port on loopback or the node's address."""
    return f"""\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clusterCIDR: {POD_CIDR}
hostnameOverride: {NODE}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
nodePortAddresses: ["{NODE_IP}/32"]
clientConnection: {{kubeconfig: {kubeconfig_path(paths, "proxy")}}}
iptables: {{minSyncPeriod: 100ms}}
conntrack: {{maxPerCore: 0}}
"""


def corefile(paths: Paths) -> str:
    """Cache as a usual cluster does: answers and NXDOMAIN stay for up to 30 seconds."""
    return f"""\
.:53 {{
  bind {NODE_IP}
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {kubeconfig_path(paths, "admin")}
    pods insecure
    ttl 30
  }}
  forward . /etc/resolv.conf
  cache 30
}}
"""


def audit() -> str:
    """Record who wrote what: FlowRuns as they were asked for and became, the rest as metadata.

    The tests judge by it. An API server that is killed loses entries, so each must tell the whole state.
    """
    return """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None  # heartbeats and elections
  namespaces: [kube-node-lease, kube-system]
- level: None
  verbs: [get, list, watch]
- level: RequestResponse
  resources: [{group: dask-flows.dev, resources: [flowruns, flowruns/status]}]
- level: Metadata
  resources:
  - {group: batch, resources: [jobs]}
  - {group: "", resources: [pods, services, configmaps, secrets]}
  - {group: networking.k8s.io, resources: [networkpolicies]}
  - {group: coordination.k8s.io, resources: [leases]}
- level: None
"""

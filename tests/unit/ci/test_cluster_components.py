"""The table of processes and their configuration hold together."""

import json
import tomllib
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from onenode import configs, network, pki, tools
from onenode.components import components
from onenode.paths import Paths

PATHS = Paths(cache=Path("/cache"), cluster=Path("/state"))
TABLE = components(PATHS)
FILES = configs.files(PATHS)


def test_the_reverse_of_the_table_is_the_safe_order_to_stop():
    """An API server without etcd does not end, so etcd is last; the kubelet is first."""
    order = [one.name for one in reversed(TABLE)]

    assert order == [
        "kubelet",
        "netpol",
        "proxy",
        "scheduler",
        "controller-manager",
        "coredns",
        "apiserver",
        "containerd",
        "etcd",
    ]
    assert [one.wave for one in TABLE] == sorted(one.wave for one in TABLE)


@pytest.mark.parametrize("component", TABLE, ids=lambda one: one.name)
def test_a_component_names_things_that_exist(component):
    """Its configuration is written, its binary is built, its keys and kubeconfig are made."""
    made = {str(PATHS.config / name) for name in FILES}
    made |= {str(pki.kubeconfig_path(PATHS, one.name)) for one in pki.IDENTITIES}
    made |= {
        str(PATHS.pki / f"{one.name}.{end}") for one in pki.IDENTITIES for end in ("crt", "key")
    }
    made |= {str(PATHS.pki / name) for name in ("ca.crt", "ca.key", "sa.key", "sa.pub")}
    built = {str(PATHS.bin / name) for tool in tools.TOOLS for name in tool.packages}
    values = [word.rpartition("=")[2] for word in component.argv[1:]]
    named = {text for text in values if text.startswith((str(PATHS.pki), str(PATHS.config)))}

    assert component.argv[0] in built
    assert component.tool in {tool.name for tool in tools.TOOLS}
    assert set(component.config) <= set(FILES)
    assert named <= made


@pytest.mark.parametrize("component", TABLE, ids=lambda one: one.name)
def test_readiness_is_asked_only_on_this_machine(component):
    """Loopback, the node's own address, or a socket."""
    host = urlsplit(component.ready).hostname

    assert component.ready.startswith("unix:") or host in {"127.0.0.1", network.NODE_IP}


def test_the_networks_do_not_overlap():
    """Node, pods and Services have ranges of their own; the API server's is the first Service."""
    pods, services = IPv4Network(network.POD_CIDR), IPv4Network(network.SERVICE_CIDR)

    assert not pods.overlaps(services)
    assert IPv4Address(network.NODE_IP) not in pods
    assert IPv4Address(network.NODE_IP) not in services
    assert IPv4Address(network.API_IP) == services[1]


def test_dns_caches_as_usual_clusters_do():
    """A cached NXDOMAIN is a fact of life that the product must survive here too."""
    assert "cache 30" in FILES["Corefile"]
    assert "disable" not in FILES["Corefile"]


@pytest.mark.parametrize(
    ("group", "resource", "level"),
    [
        ("dask-flows.dev", "flowruns/status", "RequestResponse"),
        ("dask-flows.dev", "flowruns", "RequestResponse"),
        ("batch", "jobs", "Metadata"),
        ("", "pods", "Metadata"),
        ("coordination.k8s.io", "leases", "Metadata"),
        ("networking.k8s.io", "networkpolicies", "Metadata"),
        ("", "secrets", "Metadata"),
        ("", "configmaps", "Metadata"),
        ("", "events", "None"),
    ],
)
def test_the_audit_log_says_who_wrote_what(group, resource, level):
    """The first rule that names the resource decides; bodies of secrets are never written down."""
    rules = [
        rule
        for rule in yaml.safe_load(FILES["audit.yaml"])["rules"]
        if not {"namespaces", "verbs"} & set(rule)
    ]

    def names(rule):
        entries = rule.get("resources", [{"group": group, "resources": [resource]}])
        return any(one["group"] == group and resource in one["resources"] for one in entries)

    assert next(rule["level"] for rule in rules if names(rule)) == level


def test_the_configuration_parses_and_stays_in_the_state_folder():
    """Every file is valid in its language; containerd and CNI write nowhere else."""
    containerd = tomllib.loads(FILES["containerd.toml"])
    cni = json.loads(FILES["cni/10-pods.conflist"])
    kubelet = yaml.safe_load(FILES["kubelet.yaml"])
    proxy = yaml.safe_load(FILES["proxy.yaml"])

    assert containerd["root"].startswith("/state/")
    assert containerd["state"].startswith("/state/")
    assert cni["plugins"][0]["ipam"]["dataDir"].startswith("/state/")
    assert kubelet["podLogsDir"].startswith("/state/")
    assert proxy["clientConnection"]["kubeconfig"].startswith("/state/")


def test_only_the_server_certificates_have_other_names():
    """Clients are known by their subject."""
    for identity in pki.IDENTITIES:
        text = pki.openssl_config(identity)

        assert ("subjectAltName" in text) == (identity.usage == "serverAuth")
        assert f"extendedKeyUsage = {identity.usage}" in text


def test_configuration_is_written_only_when_it_changes(tmp_path):
    """kube-proxy ends itself when its file is only touched."""
    paths = Paths(cache=tmp_path, cluster=tmp_path)
    configs.write(paths)
    file = paths.config / "proxy.yaml"
    before = file.stat().st_mtime_ns
    configs.write(paths)

    assert file.stat().st_mtime_ns == before

"""The cluster's networks must not hide networks of the machine."""

import socket

import pytest
from onenode import network
from onenode.errors import UsageError


@pytest.mark.parametrize(
    ("route", "conflict"),
    [
        ({"dst": "default", "dev": "eth0"}, False),
        ({"dst": "192.0.2.0/24", "dev": "eth0"}, False),
        ({"dst": "10.0.0.0/8", "dev": "vpn0"}, True),
        ({"dst": "10.96.4.0/24", "dev": "vpn0"}, True),
        ({"dst": "10.244.1.7", "dev": "veth1"}, True),
        ({"dst": "10.112.0.1", "dev": "other0"}, True),
        ({"dst": network.SERVICE_CIDR, "dev": network.BRIDGE}, False),
        ({"dst": "10.88.0.0/16"}, False),
    ],
)
def test_overlapping_routes_are_conflicts(route, conflict):
    """Our own bridge's routes and the default route are none."""
    assert bool(network.conflicts([route])) == conflict


def test_a_taken_port_is_named():
    """Another Kubernetes on the machine is noticed before anything is changed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/healthz"

        with pytest.raises(UsageError, match=r"port \d+ of this machine is taken"):
            network.check_free([address])

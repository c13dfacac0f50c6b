"""Addresses of the cluster, and the node's address, routes and firewall rules."""

import contextlib
import json
import socket
from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import Any
from urllib.parse import urlsplit

from onenode import shell
from onenode.errors import UsageError

NODE = "node1"
NODE_IP = "10.112.0.1"
BRIDGE = "dask-flows0"
POD_CIDR = "10.244.0.0/22"
SERVICE_CIDR = "10.96.0.0/16"
API_IP = "10.96.0.1"
API_URL = f"https://{NODE_IP}:6443"
CHAIN = "DASK-FLOWS"
QUEUE = 112  # where the kernel asks about connections; no other program may read it


def conflicts(routes: Iterable[dict[str, Any]]) -> list[str]:
    """Return the routes of this machine (from `ip -json route`) that our ranges would hide."""
    ours = [IPv4Network(text) for text in (f"{NODE_IP}/32", POD_CIDR, SERVICE_CIDR)]
    found = []
    for route in routes:
        if route["dst"] == "default" or route.get("dev") == BRIDGE:
            continue
        if any(IPv4Network(route["dst"]).overlaps(network) for network in ours):
            found.append(f"{route['dst']} dev {route.get('dev', '?')}")
    return found


def check_free(addresses: Iterable[str]) -> None:
    """Raise UsageError if another program uses our networks or the addresses (URLs) we serve."""
    for address in addresses:
        url = urlsplit(address)
        if url.hostname == "127.0.0.1" and url.port and not _can_bind(url.port):
            raise UsageError(
                f"port {url.port} of this machine is taken",
                where=address,
                do="stop the program that uses it; another Kubernetes cannot run beside this one",
            )
    found = conflicts(json.loads(shell.run(["ip", "-json", "-4", "route", "show"]) or "[]"))
    if found:
        raise UsageError(
            f"the routes {', '.join(found)} overlap with the cluster's networks",
            where=f"{NODE_IP}, {POD_CIDR}, {SERVICE_CIDR}",
            do="stop what uses them, or use another machine",
        )


def _can_bind(port: int) -> bool:
    with contextlib.closing(socket.socket()) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def present() -> bool:
    """Return whether `ensure` was called since the last `remove` or boot."""
    return shell.attempt(["ip", "link", "show", BRIDGE]).returncode == 0


def ensure() -> None:
    """Give the node an address that exists only here, and pods a way out."""
    if not present():
        # A bridge without ports serves as a dummy interface; kernels without `dummy` have it.
        shell.run(["ip", "link", "add", BRIDGE, "type", "bridge"])
        shell.run(["ip", "addr", "add", f"{NODE_IP}/32", "dev", BRIDGE])
    shell.run(["ip", "link", "set", BRIDGE, "up"])
    # Addresses that nobody owns end here ("no route to host" after 3 s), not at the machine's
    # gateway. A pod has a narrower route; a Service's address is rewritten by kube-proxy before
    # the route is looked up (from pods) or after it (from this machine).
    for network in (SERVICE_CIDR, POD_CIDR):
        shell.run(["ip", "route", "replace", network, "dev", BRIDGE])
    shell.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    for table, parent, rules in chains():
        _ensure_chain(table, parent, rules)


def chains() -> list[tuple[str, str, list[list[str]]]]:
    """Return our rules with their table and the chain from which they are reached.

    They come after kube-proxy's, which refuse Services without endpoints. What begins on the node
    itself (probes, `kubectl exec`) is not forwarded: policies do not concern it. Without a process
    that reads the queue every connection passes.
    """
    ask = ["-j", "NFQUEUE", "--queue-num", str(QUEUE), "--queue-bypass"]
    forward = [
        ["-s", POD_CIDR, "-m", "conntrack", "--ctstate", "NEW", *ask],
        ["-s", POD_CIDR, "-j", "ACCEPT"],
        ["-d", POD_CIDR, "-j", "ACCEPT"],
    ]
    masquerade = [["-s", POD_CIDR, "!", "-d", POD_CIDR, "-j", "MASQUERADE"]]
    return [("filter", "FORWARD", forward), ("nat", "POSTROUTING", masquerade)]


def _ensure_chain(table: str, parent: str, rules: list[list[str]]) -> None:
    iptables = ["iptables", "-w", "5", "-t", table]
    shell.attempt([*iptables, "-N", CHAIN])
    shell.run([*iptables, "-F", CHAIN])
    for rule in rules:
        shell.run([*iptables, "-A", CHAIN, *rule])
    if shell.attempt([*iptables, "-C", parent, "-j", CHAIN]).returncode != 0:
        shell.run([*iptables, "-A", parent, "-j", CHAIN])


def remove() -> None:
    """Undo `ensure`; what is already gone is fine. IP forwarding stays as it is."""
    for table, parent, _ in chains():
        iptables = ["iptables", "-w", "5", "-t", table]
        shell.attempt([*iptables, "-D", parent, "-j", CHAIN])
        shell.attempt([*iptables, "-F", CHAIN])
        shell.attempt([*iptables, "-X", CHAIN])
    shell.attempt(["ip", "link", "delete", BRIDGE])

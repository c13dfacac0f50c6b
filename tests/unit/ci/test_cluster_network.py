"""The cluster's networks must not hide networks of the machine."""

import copy
import socket
import subprocess
from pathlib import Path

import pytest
from onenode import components, network
from onenode.errors import UsageError
from onenode.paths import Paths

PATHS = Paths(cache=Path("/cache"), cluster=Path("/state"))


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


def forward():
    """Return the rules for what the node forwards."""
    (rules,) = [rules for _, parent, rules in network.chains() if parent == "FORWARD"]
    return [" ".join(rule) for rule in rules]


def test_new_connections_of_pods_are_asked_about_before_they_are_accepted():
    """A rule behind the general ones would never be reached; without a reader nothing is cut."""
    first, *others = forward()

    assert first.startswith(f"-s {network.POD_CIDR} -m conntrack --ctstate NEW -j NFQUEUE")
    assert first.endswith("--queue-bypass")
    assert all(rule.endswith("-j ACCEPT") for rule in others)


def test_the_process_reads_the_queue_that_the_rule_fills():
    """Another number would let everything pass in silence."""
    (netpol,) = [one for one in components.components(PATHS) if one.name == "netpol"]

    assert f"--queue={network.QUEUE}" in netpol.argv
    assert f"--queue-num {network.QUEUE} " in forward()[0]


class Machine:
    """A machine that only has a firewall; every other command does nothing and succeeds."""

    def __init__(self):
        self.chains = {("filter", "FORWARD"): [["theirs"]], ("nat", "POSTROUTING"): [["theirs"]]}

    def attempt(self, command, **_):
        words = [str(word) for word in command]
        done = words[0] != "iptables" or self.change(words[4], words[5], words[6], words[7:])
        return subprocess.CompletedProcess(words, 0 if done else 1, "", "")

    def run(self, command, **_):
        assert self.attempt(command).returncode == 0, command
        return ""

    def change(self, table, verb, name, rule):
        """Do what iptables would; return whether it could be done."""
        rules = self.chains.get((table, name))
        if verb == "-N":
            return rules is None and self.chains.setdefault((table, name), []) == []
        if rules is None or (verb in {"-C", "-D"} and rule not in rules):
            return False
        match verb:
            case "-F":
                rules.clear()
            case "-A":
                rules.append(rule)
            case "-D":
                rules.remove(rule)
            case "-X":
                del self.chains[table, name]
        return True


def test_rules_are_there_once_and_go_again(monkeypatch):
    """Twice is as good as once, also after a crash between them; the rules of others stay."""
    machine = Machine()
    before = copy.deepcopy(machine.chains)
    monkeypatch.setattr(network.shell, "run", machine.run)
    monkeypatch.setattr(network.shell, "attempt", machine.attempt)

    network.ensure()
    once = copy.deepcopy(machine.chains)
    machine.chains["filter", "FORWARD"].remove(["-j", network.CHAIN])
    network.ensure()
    twice = copy.deepcopy(machine.chains)
    network.remove()
    network.remove()

    assert machine.chains == before
    assert once == twice
    assert once["filter", "FORWARD"] == [["theirs"], ["-j", network.CHAIN]]
    assert [" ".join(rule) for rule in once["filter", network.CHAIN]] == forward()

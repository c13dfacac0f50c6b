"""The agent as a process, and a Role that lacks one right after the other, on a real API server."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from invariants.evidence import has_condition
from kube import eventually, kubectl
from kwok.agent import AgentProcess
from kwok.driver import Play, playing
from kwok.site import Site, site

pytestmark = pytest.mark.usefixtures("fake_nodes")

LANES = 3  # namespaces with an agent each, at the same time
# Missed by nobody in a run that goes well; unit/agent/test_rights.py has a story for each.
SPARE = {
    ("get", "flowruns"), ("get", "jobs"), ("delete", "jobs"), ("get", "pods"), ("patch", "pods"),
    ("delete", "leases"),
}  # fmt: skip


class Right(NamedTuple):
    """One verb on one resource, and the rule that grants nothing else."""

    verb: str
    resource: str
    rule: dict[str, Any]


class Role:
    """The Role of a site's agent."""

    def __init__(self, here: Site) -> None:
        self._namespace, self._account = here.namespace, here.account
        self._name = here.account.rpartition(":")[2]
        rules = json.loads(self._kubectl("get", "role", self._name, "-o", "json"))["rules"]
        self.rights = [
            Right(verb, resource, rule | {"resources": [resource], "verbs": [verb]})
            for rule in rules
            for resource in rule["resources"]
            for verb in rule["verbs"]
        ]

    def lack(self, *missing: Right) -> None:
        """Grant all rights but these."""
        rules = [right.rule for right in self.rights if right not in missing]
        patch = json.dumps([{"op": "replace", "path": "/rules", "value": rules}])
        self._kubectl("patch", "role", self._name, "--type", "json", "-p", patch)

    def grants(self, right: Right) -> bool:
        """Whether the API server knows of a right by now."""
        names = right.rule.get("resourceNames") or [""]
        what = f"{right.resource.partition('/')[0]}.{right.rule['apiGroups'][0]}".rstrip(".")
        asked = [
            "auth",
            "can-i",
            right.verb,
            f"{what}/{names[0]}".rstrip("/"),
            "--as",
            self._account,
        ]
        if "/" in right.resource:
            asked.append(f"--subresource={right.resource.partition('/')[2]}")
        return self._kubectl(*asked, check=False).strip().endswith("yes")

    def _kubectl(self, *args: str, check: bool = True) -> str:
        return kubectl(*args, "-n", self._namespace, check=check)


def test_each_right_of_the_role_in_turn() -> None:
    """Row 36: the agent stays up and says which right it lacks, in status or in its log; each run ends well afterwards."""
    with ThreadPoolExecutor(LANES) as pool:
        found = list(pool.map(play, range(LANES)))

    assert set().union(*found) == SPARE


def play(lane: int) -> set[tuple[str, str]]:
    """Play a lane's share of the rights; returns those that nobody has missed."""
    ephemeral = {"minimum": 1, "maximum": 1}
    with (
        site("roles", mode="ephemeral", ephemeral=ephemeral) as here,
        playing(here.namespace, lambda _: Play(seconds=0.2)) as driver,
        here.agent() as agent,
    ):
        role = Role(here)
        spare = {
            (right.verb, right.resource)
            for right in role.rights[lane::LANES]
            if not is_missed(here, role, agent, right)
        }
        here.check(driver, agent)
        return spare


def is_missed(here: Site, role: Role, agent: AgentProcess, right: Right) -> bool:
    """Start an agent without a right and a run, give the right back; returns whether it was missed."""
    name = f"{right.verb}-{right.resource.replace('/', '-')}"
    agent.stop()
    role.lack(right)
    eventually(lambda: not role.grants(right), 30)
    before = len(agent.text)
    agent.start()
    here.create(name)

    def said() -> bool:
        status = here.kube.run_status(name)
        log = agent.text[before:].replace("\\", "")  # it has quotes in quotes
        texts = [log, status.get("message", "")]
        texts += [one.get("message", "") for one in status.get("conditions") or []]
        return any(f'cannot {right.verb} resource "{right.resource}"' in text for text in texts)

    def over() -> bool:
        return has_condition(here.kube.run_status(name), "CleanedUp")

    eventually(lambda: said() or over(), 60, lambda: f"{name}: {agent.text[before:]}")
    missed = said()
    role.lack()
    agent.wait_ready()
    eventually(over, 90, lambda: f"{name}: {here.kube.run_status(name)}")
    status = here.kube.run_status(name)
    assert (status["phase"], status["attempt"]) == ("Succeeded", 1), status
    assert not has_condition(status, "Blocked"), status
    return missed

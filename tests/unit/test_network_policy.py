"""Rules of the NetworkPolicy of a run's own cluster: whom it lets in, and when there is none."""

import json
from typing import Any

from dask_flows import manifests, names
from dask_flows.config import AgentConfig
from dask_flows.plan import Plan, make_plan
from samples import agent_config, flow_run

PEERS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


def closed(peers: list[dict[str, Any]], **changes: Any) -> AgentConfig:
    """Return a configuration whose clusters have a policy with these peers."""
    network = {"enabled": True, "dashboardFrom": peers, **changes}
    return agent_config(ephemeral={"minimum": 1, "maximum": 2, "networkPolicy": network})


def test_a_policy_lets_in_the_attempt_s_own_pods_and_limits_nothing_that_leaves_them() -> None:
    """All three kinds of pod carry the label that it selects by, and those of no other attempt do."""
    plan, run = make_plan(closed([]), flow_run(), "ephemeral", 1).at("10.96.0.9"), flow_run()
    spec = manifests.network_policy(plan)["spec"]
    own = {"matchLabels": {names.LABEL_CLUSTER: plan.base}}

    assert spec == {
        "podSelector": own,
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": own}]}],
    }
    runner = manifests.job(plan, run, "sha")["spec"]["template"]
    for pod in (runner, manifests.scheduler_pod(plan), manifests.worker_pod(plan, 0)):
        assert own["matchLabels"].items() <= pod["metadata"]["labels"].items()
    later = manifests.worker_pod(make_plan(closed([]), run, "ephemeral", 2), 0)
    assert later["metadata"]["labels"][names.LABEL_CLUSTER] != plan.base


def test_others_reach_nothing_but_the_dashboard() -> None:
    """And only those that the release names: a rule without peers would let in everybody."""
    plan = make_plan(closed(PEERS), flow_run(), "ephemeral", 1)
    _, of_others = manifests.network_policy(plan)["spec"]["ingress"]

    assert of_others == {"from": PEERS, "ports": [{"port": 8787, "protocol": "TCP"}]}


def test_a_run_cannot_give_its_pods_the_label_of_another_cluster() -> None:
    """Its labels come first, and the agent's win."""
    run = flow_run(labels={names.LABEL_CLUSTER: "f-other-00000000-1"})
    plan = make_plan(closed([]), run, "ephemeral", 1)
    labels = manifests.job(plan, run, "sha")["spec"]["template"]["metadata"]["labels"]

    assert labels[names.LABEL_CLUSTER] == plan.base


def test_a_plan_keeps_its_policy_and_one_of_an_older_agent_has_none() -> None:
    """Its pods were begun without; so are those of releases that switch it off, and of other modes."""
    plan = make_plan(closed(PEERS), flow_run(), "ephemeral", 1)
    older = {k: v for k, v in json.loads(plan.to_json()).items() if k != "network_policy"}

    assert Plan.from_json(plan.to_json()) == plan
    assert plan.network_policy == PEERS
    assert Plan.from_json(json.dumps(older)).network_policy is None
    assert plan.without_templates().network_policy is None
    off = make_plan(closed(PEERS, enabled=False), flow_run(), "ephemeral", 1)
    assert off.network_policy is None
    assert make_plan(closed(PEERS), flow_run(), "local", 1).network_policy is None

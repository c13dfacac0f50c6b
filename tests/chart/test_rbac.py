"""Rules of rights: Roles only, verbs listed, and each account no more than it uses."""

from typing import Any

import pytest

from chart.asked import asked
from chart.render import ROOT, Rendered, ci_values, render, values
from dask_flows.kube import resources
from dask_flows.kube.resources import Resource

CI = ci_values()
HOOKS = ("drain", "retire")  # programs of their own, with Roles of their own


def rights(rendered: Rendered, suffix: str) -> dict[str, set[str]]:
    """Return the verbs a Role allows, by resource."""
    allowed: dict[str, set[str]] = {}
    for rule in rendered.one("Role", suffix)["rules"]:
        for resource in rule["resources"]:
            allowed.setdefault(resource, set()).update(rule["verbs"])
    return allowed


@pytest.mark.parametrize("name", CI)
def test_no_cluster_rights_and_no_wildcards(name: str) -> None:
    """An installer with rights in one namespace is enough, and a review can end."""
    for obj in render(CI[name]).objects:
        assert not obj["kind"].startswith("Cluster"), obj["metadata"]["name"]
        for rule in obj.get("rules", []):
            for words in (rule["apiGroups"], rule["resources"], rule["verbs"]):
                assert "*" not in words, obj["metadata"]["name"]


def test_the_agent_has_the_same_rights_in_every_mode() -> None:
    """Runs of the other mode are finished properly after a switch."""
    roles = [
        render({**CI["static"], "mode": mode}).one("Role", "-agent")
        for mode in ("static", "ephemeral", "local")
    ]

    assert roles[0] == roles[1] == roles[2]


def test_the_agent_makes_secrets_and_cannot_read_them() -> None:
    """Nor enter pods, nor write FlowRuns."""
    allowed = rights(render(values()), "-agent")

    assert allowed["secrets"] == {"create"}
    assert "pods/exec" not in allowed
    assert allowed["flowruns"] == {"get", "list", "watch"}
    assert allowed["flowruns/status"] == {"patch"}


def test_the_agent_may_do_exactly_what_its_code_asks_for() -> None:
    """A right that no line of it needs is one that only somebody else would use."""
    folder = ROOT / "runner/src/dask_flows"
    paths = [path for path in (folder / "agent").rglob("*.py") if path.stem not in HOOKS]
    modules = [".".join(path.relative_to(folder.parent).with_suffix("").parts) for path in paths]

    assert rights(render(values()), "-agent") == asked(modules)


@pytest.mark.parametrize("role", ["-agent", "-retire"])
def test_rights_name_the_group_of_each_kind(role: str) -> None:
    """A verb on a resource of another group allows nothing."""
    known = {
        (one.group, one.plural) for one in vars(resources).values() if isinstance(one, Resource)
    }
    rules = render(values()).one("Role", role)["rules"]

    assert {
        (g, r.partition("/")[0]) for x in rules for g in x["apiGroups"] for r in x["resources"]
    } <= known


def test_the_drain_hook_may_only_look_and_hold_its_lease() -> None:
    """It changes nothing of the release."""
    role = render(values()).one("Role", "-drain")
    allowed = rights(render(values()), "-drain")
    named = [rule.get("resourceNames") for rule in role["rules"] if rule["resources"] == ["leases"]]

    assert allowed["flowruns"] == allowed["jobs"] == {"list"}
    assert allowed["deployments"] == {"get"}
    assert named == [None, ["r-dask-flows-pause"]]


def test_the_uninstall_hook_removes_what_runs_made_and_reads_no_secret() -> None:
    """FlowRuns themselves stay: it only writes their status."""
    allowed = rights(render(values()), "-retire")

    assert allowed["flowruns"] == {"list"}
    assert allowed["flowruns/status"] == {"patch"}
    assert "secrets" not in allowed
    assert allowed["services"] == allowed["networkpolicies"] == {"list", "delete"}
    assert not any("create" in verbs for verbs in allowed.values())


def test_people_get_a_role_only_if_asked_for() -> None:
    """It lets them submit and read logs, and not reach what the agent trusts."""
    given = {"create": True, "subjects": [{"kind": "User", "name": "ada"}]}
    rendered = render(values(userRole=given))
    allowed = rights(rendered, "-user")

    assert ("Role", "r-dask-flows-user") not in render(values()).kinds()
    assert allowed["configmaps"] == {"create"}
    assert allowed["pods/log"] == {"get"}
    assert not {"secrets", "flowruns/status", "pods/exec"} & allowed.keys()
    assert rendered.one("RoleBinding", "-user")["subjects"] == given["subjects"]


def test_a_role_without_people_is_bound_to_nobody() -> None:
    """The installer binds it in another way."""
    kinds = render(values(userRole={"create": True})).kinds()

    assert ("Role", "r-dask-flows-user") in kinds
    assert ("RoleBinding", "r-dask-flows-user") not in kinds


def test_each_binding_gives_one_role_to_one_account_of_ours() -> None:
    """Agent, hooks and test never share one."""
    rendered = render(values())
    bindings = [obj for obj in rendered.objects if obj["kind"] == "RoleBinding"]
    accounts = [binding["subjects"] for binding in bindings]

    assert sorted(a[0]["name"] for a in accounts) == [
        f"r-dask-flows-{n}" for n in ("agent", "drain", "retire", "test")
    ]
    assert all(len(a) == 1 and a[0]["namespace"] == "ns" for a in accounts)


ACCOUNTS: list[tuple[dict[str, Any], str, bool]] = [
    ({}, "r-dask-flows-runner", True),
    ({"name": "mine"}, "mine", True),
    ({"create": False, "name": "mine"}, "mine", False),
    ({"create": False}, "default", False),
]


@pytest.mark.parametrize(("given", "name", "made"), ACCOUNTS)
def test_a_service_account_may_be_ones_own(given: dict[str, Any], name: str, made: bool) -> None:
    """It is made, or the one named is used, or the namespace's default."""
    rendered = render(values(runner={"serviceAccount": given}))

    assert rendered.config["templates"]["runner"]["spec"]["serviceAccountName"] == name
    assert (("ServiceAccount", name) in rendered.kinds()) is made


def test_no_account_hands_out_tokens_by_itself() -> None:
    """A pod that needs one says so."""
    for obj in render(values()).objects:
        if obj["kind"] == "ServiceAccount":
            assert obj["automountServiceAccountToken"] is False


def test_the_agent_knows_one_lease() -> None:
    """Other programs elect their leaders by Leases in the same namespace."""
    role = render(values()).one("Role", "-agent")
    named = [rule.get("resourceNames") for rule in role["rules"] if rule["resources"] == ["leases"]]

    assert named == [["r-dask-flows-pause"]]

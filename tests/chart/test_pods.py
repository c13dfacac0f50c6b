"""Rules of the one pod builder: users' entries win, nothing is there twice, everything is restricted."""

from collections import Counter
from typing import Any

import pytest

from chart.pods import container_of, containers, env, pod_templates
from chart.render import ci_values, render, values

EVERY = {**ci_values(), "local": values(mode="local")}
NO_TOKEN = ("runner", "scheduler", "worker", "Deployment/elsewhere")


@pytest.fixture(params=EVERY)
def pods(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """Every pod of one values file."""
    return pod_templates(render(EVERY[request.param]))


def repeated(items: list[Any], key: str) -> list[Any]:
    """Return the keys that more than one item has."""
    return [k for k, n in Counter(item[key] for item in items).items() if n > 1]


def test_nothing_is_named_twice(pods: dict[str, dict[str, Any]]) -> None:
    """Server-side apply refuses duplicate keys in lists that have one."""
    for where, pod in pods.items():
        assert not repeated(pod["spec"].get("volumes", []), "name"), where
        assert not repeated(pod["spec"].get("imagePullSecrets", []), "name"), where
        for container in containers(pod):
            for field, key in (("env", "name"), ("volumeMounts", "mountPath"), ("ports", "name")):
                assert not repeated(container.get(field, []), key), f"{where} {field}"


def test_every_mount_has_its_volume(pods: dict[str, dict[str, Any]]) -> None:
    """A pod without it would never start."""
    for where, pod in pods.items():
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", [])}
        for container in containers(pod):
            assert {m["name"] for m in container.get("volumeMounts", [])} <= volumes, where


def test_every_pod_passes_restricted_and_more(pods: dict[str, dict[str, Any]]) -> None:
    """Pod Security ``restricted``, a read-only root, no service links; safe volumes only."""
    for where, pod in pods.items():
        spec = pod["spec"]
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, where
        assert security["runAsUser"] > 0, where
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert spec["enableServiceLinks"] is False, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), where
        for volume in spec["volumes"]:
            assert volume.keys() - {"name"} <= {"emptyDir", "configMap", "secret"}, where
        for container in containers(pod):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, where
            assert own["readOnlyRootFilesystem"] is True, where
            assert own["capabilities"] == {"drop": ["ALL"]}, where
            assert not {"privileged", "runAsUser"} & own.keys(), where


def test_only_pods_of_the_product_itself_have_a_token(pods: dict[str, dict[str, Any]]) -> None:
    """Code of flows and tasks cannot reach the Kubernetes API."""
    for where, pod in pods.items():
        assert pod["spec"]["automountServiceAccountToken"] is not where.endswith(NO_TOKEN), where


def test_every_pod_can_write_to_tmp_only(pods: dict[str, dict[str, Any]]) -> None:
    """With its size limited, so that spilling one pod's data never fills the node."""
    for where, pod in pods.items():
        if where == "Deployment/elsewhere":
            continue  # not made by our builder
        tmp = next(v for v in pod["spec"]["volumes"] if v["name"] == "tmp")
        assert tmp["emptyDir"]["sizeLimit"], where
        for container in containers(pod):
            assert "/tmp" in {m["mountPath"] for m in container["volumeMounts"]}, where
            assert env(container)["DASK_TEMPORARY_DIRECTORY"] == "/tmp", where


def test_every_pod_says_what_it_needs_and_ends_in_time(pods: dict[str, dict[str, Any]]) -> None:
    """Requests for both resources, a memory limit, and a grace period."""
    for where, pod in pods.items():
        if where == "Deployment/elsewhere":
            continue
        assert pod["spec"]["terminationGracePeriodSeconds"] > 0, where
        for container in containers(pod):
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, where
            assert container["resources"]["limits"]["memory"], where
            assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", where
            assert container["command"][:3] == ["tini", "-g", "--"], where


def test_a_users_variable_replaces_ours_in_its_place() -> None:
    """The order stays, since ``$(VAR)`` may refer to what stands before it."""
    mine = [
        {"name": "HOME", "value": "/scratch"},
        {"name": "NEW", "value": "1"},
        {"name": "NEW", "value": "2"},
    ]
    plain = container_of(render(values()), "config.yaml/runner")
    container = container_of(render(values(runner={"env": mine})), "config.yaml/runner")

    assert [e["name"] for e in container["env"]] == [*(e["name"] for e in plain["env"]), "NEW"]
    assert (env(container)["HOME"], env(container)["NEW"]) == ("/scratch", "2")


def test_a_users_volume_for_temporary_files_replaces_ours() -> None:
    """A disk of its own for spilling, under the same path."""
    disk = {"name": "tmp", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}
    pod = render(values(mode="ephemeral", dask={"worker": {"volumes": [disk]}})).config[
        "templates"
    ]["worker"]

    assert pod["spec"]["volumes"] == [disk]


def test_pods_know_who_they_are() -> None:
    """The fence of an attempt is the pod's UID."""
    fields = {
        "DASK_FLOWS_POD_UID": "metadata.uid",
        "DASK_FLOWS_POD_NAME": "metadata.name",
        "DASK_FLOWS_NAMESPACE": "metadata.namespace",
    }
    rendered = render(values())

    for where in ("config.yaml/runner", "Deployment/r-dask-flows-agent", "Job/r-dask-flows-drain"):
        known = env(container_of(rendered, where))
        assert {k: known[k] for k in fields} == {
            k: {"fieldRef": {"fieldPath": path}} for k, path in fields.items()
        }


def test_a_spread_constraint_gets_a_selector_for_each_cluster() -> None:
    """One that has a selector is left as it is."""
    plain = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    own = {**plain, "labelSelector": {"matchLabels": {"a": "b"}}}
    given = {"worker": {"topologySpreadConstraints": [plain, own]}}
    spec = render(values(mode="ephemeral", dask=given)).config["templates"]["worker"]["spec"]
    filled, kept = spec["topologySpreadConstraints"]

    assert filled["matchLabelKeys"] == ["dask-flows.dev/cluster"]
    assert filled["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "worker"
    assert kept == own


def test_the_platform_may_choose_the_user() -> None:
    """``null`` takes a default away (OpenShift assigns users by namespace)."""
    given = {"podSecurityContext": {"runAsUser": None, "runAsGroup": None}}
    pod = render(values(given)).config["templates"]["runner"]

    assert not {"runAsUser", "runAsGroup"} & pod["spec"]["securityContext"].keys()
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True

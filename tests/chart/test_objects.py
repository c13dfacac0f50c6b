"""Rules of every object: valid to the API server, labelled alike, and never in need of an immutable change."""

from itertools import permutations
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import latest_version

from chart.pods import container_of
from chart.render import CHART, Rendered, ci_values, render, values

CI = ci_values()
OLDEST = "1.33"
# extraObjects are the user's: they have the labels the user gives them.
FOREIGN = ("elsewhere", "-extra")
LABELS = {
    "app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component",
    "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "app.kubernetes.io/part-of", "helm.sh/chart",
}  # fmt: skip


def own(rendered: Rendered) -> list[dict[str, Any]]:
    """Return the objects that are ours."""
    return [obj for obj in rendered.objects if not obj["metadata"]["name"].endswith(FOREIGN)]


@pytest.mark.parametrize("version", [OLDEST, latest_version()])
@pytest.mark.parametrize("name", CI)
def test_every_object_is_valid_in_all_supported_versions(name: str, version: str) -> None:
    """Strictly: a field that the version does not know is an error."""
    for obj in render(CI[name]).objects:
        kubernetes_validate.validate(obj, version, strict=True)


@pytest.mark.parametrize("name", CI)
def test_every_object_is_labelled(name: str) -> None:
    """One query finds a release, its parts and its version."""
    for obj in own(render(CI[name])):
        assert obj["metadata"]["labels"].keys() >= LABELS, obj["metadata"]["name"]
        assert obj["metadata"]["namespace"] == "ns"


def test_common_labels_and_annotations_are_everywhere_and_never_win() -> None:
    """They also reach pods and what the agent makes; ours keep their meaning."""
    mine = {"team": "data", "app.kubernetes.io/name": "mine"}
    rendered = render(values(commonLabels=mine, commonAnnotations={"note": "x"}))

    for obj in rendered.objects:
        assert obj["metadata"]["labels"]["team"] == "data"
        assert obj["metadata"]["labels"]["app.kubernetes.io/name"] == "dask-flows"
        assert obj["metadata"]["annotations"]["note"] == "x"
    assert rendered.config["labels"]["team"] == "data"
    assert rendered.config["labels"]["app.kubernetes.io/name"] == "dask-flows"
    assert rendered.config["annotations"] == {"note": "x"}


def test_a_hook_keeps_its_annotations() -> None:
    """Common annotations are added to them."""
    job = render(values(commonAnnotations={"helm.sh/hook": "no"})).one("Job", "-drain")

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade,pre-rollback"


def selectors(rendered: Rendered) -> dict[str, Any]:
    """Return what the API server never lets change, by object."""
    fixed = {}
    for obj in rendered.objects:
        name = f"{obj['kind']}/{obj['metadata']['name']}"
        if obj["kind"] == "Deployment":
            fixed[name] = obj["spec"]["selector"]
        elif obj["kind"] == "RoleBinding":
            fixed[name] = obj["roleRef"]
        elif obj["kind"] == "Service":
            fixed[name] = obj["spec"].get("clusterIP")
    return fixed


@pytest.mark.parametrize(("old", "new"), list(permutations(CI, 2)))
def test_no_switch_needs_an_immutable_change(old: str, new: str) -> None:
    """From any values file to any other, objects of the same name keep what cannot change."""
    same = {"fullnameOverride": "flows"}
    before, after = (selectors(render({**CI[name], **same})) for name in (old, new))
    shared = before.keys() & after.keys()

    assert {name: before[name] for name in shared} == {name: after[name] for name in shared}


def test_selectors_hold_neither_versions_nor_users_labels() -> None:
    """They can never change, those do."""
    rendered = render(values(commonLabels={"team": "data"}, agent={"podLabels": {"a": "b"}}))

    for obj in rendered.objects:
        if obj["kind"] == "Deployment":
            chosen = obj["spec"]["selector"]["matchLabels"]
            assert chosen.keys() <= {*LABELS, "dask-flows.dev/cluster"} - {
                "app.kubernetes.io/version", "helm.sh/chart"
            }  # fmt: skip
            assert chosen.items() <= obj["spec"]["template"]["metadata"]["labels"].items()


def test_the_shared_cluster_never_selects_pods_of_a_runs_own() -> None:
    """Both have schedulers and workers; only the release's carry its name as their cluster."""
    rendered = render(values(agent={"allowModeOverride": True}))
    service = rendered.one("Service", "-scheduler")["spec"]["selector"]

    for role in ("scheduler", "worker"):
        mine = rendered.one("Deployment", f"-{role}")["spec"]["selector"]["matchLabels"]
        labels = rendered.config["templates"][role]["metadata"]["labels"]
        assert mine["dask-flows.dev/cluster"] == "r-dask-flows"
        assert "dask-flows.dev/cluster" not in labels
        assert not mine.items() <= labels.items()
    assert service["dask-flows.dev/cluster"] == "r-dask-flows"


def test_services_reach_named_ports_of_their_pods() -> None:
    """A Service whose target does not exist would only show when used."""
    rendered = render(values())

    for suffix in ("-scheduler", "-agent"):
        container = container_of(rendered, f"Deployment/r-dask-flows{suffix}")
        service = rendered.one("Service", suffix)
        named = {port["name"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named
        assert service["spec"]["publishNotReadyAddresses"] is True


@pytest.mark.parametrize(
    ("release", "given", "fullname"),
    [
        ("r", {}, "r-dask-flows"),
        ("dask-flows", {}, "dask-flows"),
        ("my-dask-flows-2", {}, "my-dask-flows-2"),
        ("r", {"nameOverride": "flows"}, "r-flows"),
        ("r", {"fullnameOverride": "flows"}, "flows"),
        ("team.one", {}, "team-one-dask-flows"),
    ],
)
def test_names_come_from_the_release(release: str, given: dict[str, Any], fullname: str) -> None:
    """Two releases in a namespace never meet."""
    rendered = render(values(given), release=release)

    assert rendered.config["release"]["fullname"] == fullname
    names = {obj["metadata"]["name"] for obj in rendered.objects}
    assert {name for name in names if not name.startswith(f"{fullname}-")} == set()


def test_long_names_are_cut_and_stay_apart() -> None:
    """Helm admits 53 characters; a Service's name has 63 and suffixes of ours."""
    long = [f"{'x' * 50}-{n}" for n in (1, 2)]
    first, second = (render(values(), release=name) for name in long)

    assert not first.kinds() & second.kinds()
    for obj in first.objects:
        assert len(obj["metadata"]["name"]) <= 63


def test_extra_objects_are_filled_in() -> None:
    """As text or as YAML, with every template of the chart at hand."""
    text = (
        'apiVersion: v1\nkind: Secret\nmetadata: {name: {{ include "dask-flows.fullname" . }}-b}\n'
    )
    block = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-a"}}
    kinds = render(values(extraObjects=[text, block])).kinds()

    assert {("Secret", "r-dask-flows-b"), ("ConfigMap", "r-a")} <= kinds


def test_the_chart_describes_itself() -> None:
    """What registries and ``helm show chart`` print."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert (chart["name"], chart["kubeVersion"]) == ("dask-flows", ">=1.33.0-0")
    assert chart["annotations"]["artifacthub.io/license"] == "Apache-2.0"

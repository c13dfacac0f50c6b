"""Rules of the values: mistakes are refused with the place and the cure, and nothing is undocumented."""

import subprocess
import sys
from typing import Any

import pytest
import yaml

from chart.render import CHART, ROOT, RenderError, ci_values, merge, render, values


def put(path: str, value: Any) -> dict[str, Any]:
    """Return values with one key set at a dotted path."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return values(value)


@pytest.mark.parametrize(
    "path",
    ["mod", "image.repo", "agent.replicas", "agent.resources.request", "runner.command",
     "dask.worker.nthreads", "dask.scheduler.replicas", "dask.jupyter", "static.workers.count",
     "ephemeral.min", "runs.ttl", "upgrade.drain", "userRole.name", "agent.serviceAccount.token",
     "ephemeral.networkPolicy.egress"],
)  # fmt: skip
def test_an_unknown_key_is_refused(path: str) -> None:
    """A mistyped key never goes unnoticed, at any depth."""
    with pytest.raises(RenderError, match=rf"'{path.rpartition('.')[2]}' not allowed"):
        render(put(path, 1))


@pytest.mark.parametrize(
    "peer",
    [
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
        {"ipBlock": {"cidr": "0.0.0.0/0"}},
        {"ipBlock": {"cidr": "2001:db8::/32"}},
        {"ipBlock": {"cidr": "::/0"}},
        {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}},
        {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
        {"podSelector": {}, "namespaceSelector": {}},
    ],
    ids=str,
)
def test_peers_are_as_in_a_network_policy(peer: dict[str, Any]) -> None:
    """What the API server takes, the chart takes, too."""
    assert render(put("ephemeral.networkPolicy.dashboardFrom", [peer])).objects


@pytest.mark.parametrize("extra", [{"global": {"anything": {"at": "all"}}}, {"enabled": True}])
def test_the_chart_works_below_a_parent_chart(extra: dict[str, Any]) -> None:
    """Helm passes ``global`` down, and parents keep the dependency's condition in our values."""
    assert render(values(extra)).objects


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("mode", "dynamic"),
        ("image.digest", "sha256:abc"),
        ("image.pullSecrets", ["registry"]),
        ("agent.logLevel", "loud"),
        ("agent.env", [{"value": "x"}]),
        ("runner.resources.limits", {"memory": "1GB"}),
        ("runner.podLabels", {"a": 1}),
        ("dask.worker.threads", 0),
        ("dask.worker.resources.requests", {"cpu": "half"}),
        ("dask.scheduler.extraArgs", ["--jupyter"]),
        ("static.address", "dask.example.com"),
        ("static.workers.replicas", -1),
        ("ephemeral.minimum", 0),
        ("ephemeral.networkPolicy.dashboardFrom", {"podSelector": {}}),
        ("ephemeral.networkPolicy.dashboardFrom", [{}]),
        ("ephemeral.networkPolicy.dashboardFrom", [{"pods": {}}]),
        ("ephemeral.networkPolicy.dashboardFrom", [{"podSelector": {"app": "prometheus"}}]),
        ("ephemeral.networkPolicy.dashboardFrom", [{"ipBlock": {"cidr": "10.0.0.1"}}]),
        (
            "ephemeral.networkPolicy.dashboardFrom",
            [{"ipBlock": {"cidr": "::/0"}, "podSelector": {}}],
        ),
        ("ephemeral.networkPolicy.dashboardFrom", [{"ipBlock": {"cidr": "10.0.0.0/99"}}]),
        ("ephemeral.networkPolicy.dashboardFrom", [{"ipBlock": {"cidr": "2001:db8::/129"}}]),
        (
            "ephemeral.networkPolicy.dashboardFrom",
            [{"podSelector": {"matchExpressions": [{"key": "app", "operator": "In"}]}}],
        ),
        (
            "ephemeral.networkPolicy.dashboardFrom",
            [
                {
                    "podSelector": {
                        "matchExpressions": [{"key": "app", "operator": "Exists", "values": ["x"]}]
                    }
                }
            ],
        ),
        ("runs.deadlineSeconds", 0),
        ("userRole.subjects", [{"kind": "Everyone", "name": "x"}]),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(path: str, value: Any) -> None:
    """The message holds the path as Helm writes it."""
    with pytest.raises(RenderError, match="/" + path.replace(".", "/")):
        render(put(path, value))


REFUSALS = {
    "no image": (
        {"image": {"repository": ""}},
        ["no image is set (image.repository)", "images/build.sh", "minikube image load", "--set image.tag"],
    ),
    "name that starts with a digit": (
        {"fullnameOverride": "2nd"},
        ['"2nd" cannot begin the name of a Service', "fullnameOverride", "a letter first"],
    ),
    "more least than most workers": (
        {"ephemeral": {"minimum": 3, "maximum": 2}},
        ["minimum 3 is more than maximum 2 (ephemeral)", "raise maximum"],
    ),
    "waiting for workers that are not there": (
        {"static": {"workers": {"replicas": 1, "minimum": 2}}},
        ["wait for 2 workers of 1", "static.workers.minimum", "lower minimum"],
    ),
    "agent under the default account": (
        {"agent": {"serviceAccount": {"create": False}}},
        ["every pod of the namespace (agent.serviceAccount)", "name the account"],
    ),
    "address of the scheduler in env": (
        {"dask": {"worker": {"env": [{"name": "DASK_SCHEDULER_ADDRESS", "value": "tcp://x:1"}]}}},
        ["DASK_SCHEDULER_ADDRESS is set by the chart", "(dask.worker.env)", "static.address"],
    ),
    "our own env": (
        {"runner": {"env": [{"name": "DASK_FLOWS_POD_UID", "value": "x"}]}},
        ["DASK_FLOWS_POD_UID is set by the chart", "(runner.env)", "remove it"],
    ),
    "a volume of the agent's": (
        {"runner": {"volumes": [{"name": "token", "emptyDir": {}}]}},
        ['"token" is a volume that the agent adds (runner.volumes)', "choose another name"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_a_schema_cannot_say_is_refused_in_three_parts(case: str) -> None:
    """What was found, where, and what to do."""
    wrong, parts = REFUSALS[case]

    with pytest.raises(RenderError) as refused:
        render(values(wrong))

    assert [part for part in parts if part not in str(refused.value)] == []


def test_all_refusals_are_shown_at_once() -> None:
    """Nobody has to find mistakes one install at a time."""
    wrong = merge(REFUSALS["no image"][0], REFUSALS["more least than most workers"][0])

    with pytest.raises(RenderError, match=r"(?s)image\.repository.*minimum 3 is more"):
        render(wrong)


def test_an_outside_scheduler_needs_no_workers_of_ours() -> None:
    """The number of our workers says nothing about theirs."""
    theirs = {"static": {"address": "tcp://x:8786", "workers": {"replicas": 0, "minimum": 4}}}

    assert render(values(theirs)).config["static"]["minimum"] == 4


@pytest.mark.parametrize("name", ["schema", "docs", "check_values"])
def test_generated_files_and_defaults_fit_the_schema(name: str) -> None:
    """What ``make lint`` asks."""
    command = [sys.executable, str(ROOT / "tools" / f"{name}.py"), "--check"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_every_switch_of_mode_keeps_the_same_values_file() -> None:
    """Settings of the mode that is not in use are admitted."""
    for name, given in ci_values().items():
        for mode in ("static", "ephemeral", "local"):
            assert render({**given, "mode": mode}).config["mode"] == mode, name


def test_the_package_holds_no_sources_of_generated_files() -> None:
    """``.helmignore`` names what only this repository needs."""
    ignored = (CHART / ".helmignore").read_text().splitlines()

    assert {"ci/", "values.schema.yaml"} <= set(ignored)
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["apiVersion"] == "v2"

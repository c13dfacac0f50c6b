"""Rules of upgrades and uninstalls: runs on the shared cluster are waited for, but only if that cluster changes."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.pods import container_of
from chart.render import CHART, render, values


def pod_hash(*overlays: dict[str, Any], chart: Path = CHART) -> str:
    """Return the hash in config.yaml."""
    found: str = render(values(*overlays), chart=chart).config["static"]["podHash"]
    return found


def arguments(given: dict[str, Any]) -> dict[str, str]:
    """Return the drain hook's arguments by flag."""
    args = container_of(render(given), "Job/r-dask-flows-drain")["args"]
    assert args[0] == "drain"
    return dict(arg.split("=", 1) for arg in args[1:])


@pytest.fixture
def next_version(tmp_path: Path) -> Path:
    """The same chart with a higher version."""
    chart = tmp_path / "dask-flows"
    shutil.copytree(CHART, chart)
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    about |= {"version": "0.2.0"}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
    return chart


@pytest.mark.parametrize(
    "change",
    [
        {"static": {"workers": {"replicas": 7}}},
        {"static": {"workers": {"replicas": None}}},
        {"static": {"workers": {"minimum": 2}}},
        {"ephemeral": {"maximum": 9}},
        {"agent": {"logLevel": "debug"}},
        {"runner": {"env": [{"name": "A", "value": "b"}]}},
        {"runs": {"startDeadlineSeconds": 5}},
        {"commonAnnotations": {"a": "b"}},
    ],
    ids=str,
)
def test_what_leaves_the_shared_cluster_alone_keeps_its_hash(change: dict[str, Any]) -> None:
    """Such an upgrade never waits for runs."""
    assert pod_hash(change) == pod_hash()


def test_a_new_chart_version_keeps_the_hash(next_version: Path) -> None:
    """Versions are labels of objects, not of pods."""
    assert pod_hash(chart=next_version) == pod_hash()


@pytest.mark.parametrize(
    "change",
    [
        {"image": {"tag": "other"}},
        {"dask": {"scheduler": {"resources": {"limits": {"memory": "2Gi"}}}}},
        {"dask": {"worker": {"threads": 3}}},
        {"dask": {"worker": {"podLabels": {"a": "b"}}}},
        {"static": {"serviceType": "NodePort"}},
        {"podSecurityContext": {"runAsUser": 2000}},
        {"commonLabels": {"a": "b"}},
    ],
    ids=str,
)
def test_what_replaces_pods_of_the_shared_cluster_changes_its_hash(change: dict[str, Any]) -> None:
    """Runs in flight would lose their scheduler or their workers."""
    assert pod_hash(change) != pod_hash()


def test_the_hash_stands_on_both_deployments() -> None:
    """Where the hook of the next upgrade reads what is installed."""
    rendered = render(values())
    shown = {
        rendered.one("Deployment", f"-{part}")["metadata"]["annotations"]["dask-flows.dev/pod-hash"]
        for part in ("scheduler", "worker")
    }

    assert shown == {rendered.config["static"]["podHash"]}


def test_the_hook_is_told_what_comes() -> None:
    """The same names and hashes as the agent has after the upgrade."""
    given = values(upgrade={"drainSeconds": 5})
    config = render(given).config

    assert arguments(given) == {
        "--release-fullname": "r-dask-flows",
        "--namespace": "ns",
        "--target-mode": "static",
        "--target-pod-hash": config["static"]["podHash"],
        "--target-config": config["configHash"],
        "--lease": config["pauseLease"],
        "--drain-seconds": "5",
    }


@pytest.mark.parametrize(
    "given", [{"mode": "ephemeral"}, {"mode": "local"}, {"static": {"address": "tcp://x:1"}}]
)
def test_no_shared_cluster_has_no_hash(given: dict[str, Any]) -> None:
    """The hook then knows that the one there goes away."""
    assert arguments(values(given))["--target-pod-hash"] == ""


def test_the_hook_runs_once_and_leaves_its_log() -> None:
    """A failure is an answer, shown by helm; accounts exist before the Job."""
    rendered = render(values())
    job = rendered.one("Job", "-drain")
    notes = job["metadata"]["annotations"]
    weights = {
        kind: int(rendered.one(kind, "-drain")["metadata"]["annotations"]["helm.sh/hook-weight"])
        for kind in ("ServiceAccount", "Role", "RoleBinding", "Job")
    }

    assert notes["helm.sh/hook"] == "pre-upgrade,pre-rollback"
    assert notes["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    assert notes["helm.sh/hook-output-log-policy"] == "hook-failed"
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (0, 300)
    assert max(weights.values()) == weights["Job"] > weights["RoleBinding"] > weights["Role"]


def test_the_uninstall_hook_runs_when_the_agent_is_gone() -> None:
    """Otherwise the agent would start again what it ends; it knows runs by the release's name."""
    rendered = render(values(), release="r")
    hook = rendered.one("Job", "-retire")["metadata"]["annotations"]["helm.sh/hook"]

    assert hook == "post-delete"
    assert container_of(rendered, "Job/r-dask-flows-retire")["args"] == [
        "retire",
        "--namespace=ns",
        "--instance=r",
        "--lease=r-dask-flows-pause",
    ]


def test_force_skips_the_hook() -> None:
    """With everything that only the hook needs."""
    kinds = render(values(upgrade={"force": True})).kinds()

    assert {name for _, name in kinds if name.endswith("-drain")} == set()


def test_the_agent_restarts_for_each_change_of_its_settings() -> None:
    """And for nothing else: the checksum is that of its configuration."""

    def checksum(**given: Any) -> Any:
        rendered = render(values(**given))
        pod = rendered.one("Deployment", "-agent")["spec"]["template"]
        assert pod["metadata"]["annotations"]["checksum/config"] == rendered.config["configHash"]
        return rendered.config["configHash"]

    assert checksum() == checksum(userRole={"create": True})
    assert checksum() != checksum(runs={"startDeadlineSeconds": 5})
    assert checksum() != checksum(mode="ephemeral")

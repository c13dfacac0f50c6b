"""The chart as platform people check it: ct, a server's own dry run, and ``helm test``."""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from kube import Kube, kubectl, run
from release import CHART, HELM, Release

VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
# ct installs each file as it is: these two work without anything from outside.
INSTALLABLE = ["static-values.yaml", "ephemeral-values.yaml"]


@pytest.fixture(scope="module", autouse=True)
def crds(api: Kube) -> None:
    """The server must know FlowRuns before it can check one."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CHART / "crds"))


def test_ct_lint() -> None:
    """chart-testing finds nothing to say."""
    assert "All charts linted successfully" in ct("lint")


def test_ct_install_in_both_modes(shared: Kube, tmp_path: Path) -> None:
    """chart-testing installs each mode, runs its test and removes it."""
    chart = tmp_path / "dask-flows"
    shutil.copytree(CHART, chart)
    for file in chart.glob("ci/*-values.yaml"):
        if file.name not in INSTALLABLE:
            file.unlink()
    assert len(list(chart.glob("ci/*"))) == len(INSTALLABLE)

    text = ct(
        "install",
        "--namespace",
        shared.namespace,
        "--release-label",
        "app.kubernetes.io/instance",
        chart=chart,
    )

    assert "All charts installed successfully" in text


def ct(verb: str, *args: str, chart: Path = CHART) -> str:
    """Run chart-testing from the root of the checkout."""
    return run("ct", verb, "--config", "ci/ct.yaml", "--charts", str(chart), *args, timeout=600)


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_server_admits_every_object(shared: Kube, values: Path) -> None:
    """``kubectl apply --dry-run=server`` in a namespace that enforces ``restricted``."""
    rendered = run(HELM, "template", "r", str(CHART), "-n", shared.namespace, "-f", str(values))
    objects = [obj for obj in yaml.safe_load_all(rendered) if obj]
    for account in (obj for obj in objects if obj["kind"] == "ServiceAccount"):
        # A pod is admitted only if its account exists, and a dry run makes none.
        kubectl("apply", "-n", shared.namespace, "-f", "-", stdin=json.dumps(account))

    text = kubectl("apply", "--dry-run=server", "-n", shared.namespace, "-f", "-", stdin=rendered)

    assert "Warning" not in text, text
    assert text.count("dry run") == len(objects)


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
def test_helm_test(kube: Kube, release: Release, mode: str) -> None:
    """A pod with a Role of its own creates a FlowRun in the selected mode and waits for it."""
    release.install(mode)

    text = run(HELM, "test", release.name, "-n", kube.namespace, "--logs", "--timeout", "3m")

    assert "Succeeded" in text
    modes = [run["status"]["mode"] for run in kube.list("flowruns")]
    assert modes in ([mode], [])


def test_a_helm_3_release_can_be_installed(kube: Kube, release: Release) -> None:
    """The chart works with the last Helm 3."""
    helm3 = os.environ.get("HELM3", "helm3")
    repository, _, tag = os.environ.get("IMAGE", "registry.local/dask-flows:dev").rpartition(":")
    run(
        helm3, "install", release.name, str(CHART), "-n", kube.namespace, "--wait", "--set", "mode=static",
        "--set", f"image.registry=,image.repository={repository},image.tag={tag}",
    )  # fmt: skip
    run(helm3, "upgrade", release.name, str(CHART), "-n", kube.namespace, "--wait",
        "--reset-then-reuse-values", "--set", "mode=ephemeral")  # fmt: skip

    assert release.static_versions() == {}

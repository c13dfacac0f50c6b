"""Fake nodes take only pods that ask for them, and their pods do what a kubelet's would."""

from pathlib import Path

import pytest
import yaml
from onenode import kwok, tools
from onenode.paths import Paths

PATHS = Paths(cache=Path("/cache"), cluster=Path("/state"))
STAGES = list(yaml.safe_load_all(kwok.STAGES.read_text()))
POD_STAGES = {s["metadata"]["name"]: s for s in STAGES if s["spec"]["resourceRef"]["kind"] == "Pod"}


def test_a_fake_node_keeps_other_pods_away():
    """It has the label that the process manages nodes by, and a taint that nobody tolerates by chance."""
    node = kwok.node(3)
    key, _, value = kwok.LABEL.partition("=")

    assert node["metadata"]["labels"][key] == value
    assert f"--manage-nodes-with-label-selector={kwok.LABEL}" in kwok.component(PATHS).argv
    assert [taint["effect"] for taint in node["spec"]["taints"]] == ["NoSchedule"]


def test_the_process_is_a_pinned_tool_that_up_does_not_need():
    """It is built with the others, and only its own command starts it."""
    tool = next(tool for tool in tools.TOOLS if tool.name == kwok.component(PATHS).tool)

    assert kwok.component(PATHS).argv[0] == str(PATHS.bin / next(iter(tool.packages)))
    assert not tool.for_cluster


def test_the_process_reads_the_stages_that_are_written(tmp_path):
    """A changed stage restarts it, because its configuration is named."""
    paths = Paths(cache=tmp_path, cluster=tmp_path / "cluster")
    paths.make()
    kwok.write_config(paths)

    for name in kwok.component(paths).config:
        assert (paths.config / name).read_text() == kwok.STAGES.read_text()
        assert f"--config={paths.config}/{name}" in kwok.component(paths).argv


@pytest.mark.parametrize("name", sorted(set(POD_STAGES) - {"pod-kill", "pod-delete"}))
def test_a_deleted_pod_only_vanishes(name):
    """No other stage touches a pod that is being deleted."""
    rules = POD_STAGES[name]["spec"]["selector"]["matchExpressions"]

    assert {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"} in rules


def test_a_pod_never_ends_by_itself():
    """Only its deadline and its deletion end one: any other end is for the program's player to say."""
    ends = [n for n, s in POD_STAGES.items() if "exitCode" in s["spec"]["next"].get("statusTemplate", "")]  # fmt: skip

    assert ends == ["pod-deadline", "pod-kill"]

"""A binary is built again when what it is built from changed, and only then."""

import dataclasses
from pathlib import Path

import pytest
from onenode import tools
from onenode.paths import Paths
from onenode.tools import TOOLS, Tool

TOOL = Tool("one", {"one": "."}, module="one", links=("uno",))


@pytest.fixture
def modules(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "go.mod").write_text(f"module {name}\n")
    return tmp_path


def test_the_key_follows_the_tools_own_module_only(modules):
    """Another tool's go.mod must not cost this one's build."""
    before = tools.key(TOOL, modules)
    (modules / "two" / "go.mod").write_text("module changed\n")
    beside = tools.key(TOOL, modules)
    (modules / "one" / "go.mod").write_text("module changed\n")
    own = tools.key(TOOL, modules)

    assert before == beside != own


@pytest.mark.parametrize("change", [{"ldflags": "-X a=b"}, {"tags": "t"}, {"cgo": True}])
def test_the_key_follows_the_flags(modules, change):
    """Flags are part of what a binary is made of."""
    changed = dataclasses.replace(TOOL, **change)

    assert tools.key(changed, modules) != tools.key(TOOL, modules)


def test_stale_means_a_missing_binary_or_another_stamp(tmp_path):
    """A binary without our stamp was built by somebody else."""
    paths = Paths(cache=tmp_path, cluster=tmp_path / "cluster")
    tool = next(tool for tool in TOOLS if tool.name == "hyperkube")
    paths.make()
    steps = [bool(tools.stale([tool], paths))]
    for name in ("hyperkube", "kubectl"):
        (paths.bin / name).touch()
        steps.append(bool(tools.stale([tool], paths)))
    (paths.stamps / "hyperkube").write_text(tools.key(tool))
    steps.append(bool(tools.stale([tool], paths)))

    assert steps == [True, True, True, False]


def test_commands_pin_everything_and_leave_no_path():
    """Every package has a version of its own or a go.mod; every build is trimmed."""
    for tool in TOOLS:
        for package in tool.packages.values():
            command = tools.command(tool, package, Path("/out"))

            assert ("@v" in package) != bool(tool.module)
            assert command[:2] == ["go", "build" if tool.module else "install"]
            assert {"-trimpath", "-buildvcs=false"} < set(command)


def test_every_module_folder_belongs_to_a_tool():
    """A folder nobody builds is dead weight."""
    folders = {path.name for path in tools.MODULES.iterdir()}

    assert folders == {tool.module for tool in TOOLS if tool.module}

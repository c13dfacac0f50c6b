"""A binary is built again when what it is built from changed, and only then."""

import dataclasses
from pathlib import Path

import pytest
from onenode import tools
from onenode.errors import ClusterError
from onenode.paths import Paths
from onenode.tools import TOOLS, Edit, Tool

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
    """Every package has a version of its own, a go.mod or an origin; every build is trimmed."""
    for tool in TOOLS:
        for package in tool.packages.values():
            command = tools.command(tool, package, Path("/out"))

            assert ["@v" in package, bool(tool.module), "@v" in tool.origin].count(True) == 1
            assert command[:2] == ["go", "install" if "@v" in package else "build"]
            assert {"-trimpath", "-buildvcs=false"} < set(command)


def test_every_module_folder_belongs_to_a_tool():
    """A folder nobody builds is dead weight."""
    folders = {path.name for path in tools.MODULES.iterdir()}

    assert folders == {tool.module for tool in TOOLS if tool.module}


EDIT = Edit("a/b.go", "x := 1", "x := 2")


def test_an_edit_changes_the_key_of_its_tool_only(modules):
    """An edit is part of what a binary is made of; to have none is to be built as before."""
    edited = dataclasses.replace(TOOL, origin="m@v1", edits=(EDIT,))
    other = dataclasses.replace(EDIT, new="x := 3")

    assert "edit" not in repr(TOOL)
    assert tools.key(edited, modules) != tools.key(TOOL, modules)
    assert tools.key(edited, modules) != tools.key(
        dataclasses.replace(edited, edits=(other,)), modules
    )


@pytest.mark.parametrize(
    ("text", "changed"),
    [("x := 1\n", "x := 2\n"), ("y := 1\n", None), ("x := 1\nx := 1\n", None)],
    ids=["fits", "is not there", "is there twice"],
)
def test_an_edit_fits_or_ends_the_build(tmp_path, text, changed):
    """A release that has mended the mistake must not get the mending twice, nor none in silence."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.go").write_text(text)

    if changed is None:
        with pytest.raises(ClusterError, match="x := 1"):
            tools.apply(EDIT, tmp_path)
        changed = text
    else:
        tools.apply(EDIT, tmp_path)

    assert (tmp_path / "a" / "b.go").read_text() == changed

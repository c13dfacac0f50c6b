"""Rules of sources: a zip stays in its folder, and only the flow's own modules travel."""

import json
import sys
import zipfile
from pathlib import Path

import pytest

from dask_flows.errors import BadFlow
from dask_flows.flows.load import load_flow
from dask_flows.flows.source import travel_by_value, unpack


def make_zip(path: Path, **names: str) -> Path:
    """Write a zip of these members."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in names.items():
            archive.writestr(name, text)
    return path


def test_a_zip_is_unpacked_with_its_folders(tmp_path: Path) -> None:
    """Twice gives the same: an old folder does not shine through."""
    folder = tmp_path / "source"
    unpack(make_zip(tmp_path / "a.zip", **{"old.py": "1"}), folder)

    unpack(make_zip(tmp_path / "b.zip", **{"pkg/a.py": "x = 1"}), folder)

    assert [p.relative_to(folder).as_posix() for p in folder.rglob("*.py")] == ["pkg/a.py"]


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil.py", "pkg/../../evil.py"])
def test_a_zip_that_reaches_outside_is_refused(tmp_path: Path, name: str) -> None:
    """Nothing is written outside the folder."""
    with pytest.raises(BadFlow, match="outside"):
        unpack(make_zip(tmp_path / "a.zip", **{name: "x"}), tmp_path / "source")

    assert not list(tmp_path.parent.glob("evil.py"))


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    """It would fill the pod's memory-backed disk."""
    with pytest.raises(BadFlow, match="MiB"):
        unpack(make_zip(tmp_path / "a.zip", **{"a.py": "0" * (70 * 2**20)}), tmp_path / "source")


def test_a_broken_zip_is_refused(tmp_path: Path) -> None:
    """No bare traceback."""
    broken = tmp_path / "a.zip"
    broken.write_bytes(b"no zip")

    with pytest.raises(BadFlow, match="cannot unpack"):
        unpack(broken, tmp_path / "source")


def test_only_modules_of_the_source_travel(tmp_path: Path) -> None:
    """The standard library and installed packages are on the workers already."""
    (tmp_path / "flow_d.py").write_text("import json, help_d\ndef main(): return help_d.X\n")
    (tmp_path / "help_d.py").write_text("X = 1\n")
    flow = load_flow("flow_d.py:main", tmp_path)

    try:
        assert travel_by_value(flow.root) == ["flow_d", "help_d"]
        assert travel_by_value(None) == []
        assert json.__name__ not in travel_by_value(flow.root)
    finally:
        sys.path.remove(str(tmp_path))
        for name in ("flow_d", "help_d"):
            del sys.modules[name]

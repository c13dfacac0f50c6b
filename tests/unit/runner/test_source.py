"""Rules of a flow's source: zips stay in their folder, own modules travel by value, others never do."""

import json
import stat
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest

from dask_flows.errors import BadFlow
from dask_flows.flows.load import load
from dask_flows.flows.source import MAX_UNPACKED, unpack
from dask_flows.modules import is_installed, is_own
from dask_flows.names import slug


def make_zip(path: Path, *names: str, **content: str) -> Path:
    """Write a zip with these members."""
    with zipfile.ZipFile(path, "w") as zipped:
        for name in names:
            zipped.writestr(name, "x = 1")
        for name, text in content.items():
            zipped.writestr(name, text)
    return path


def test_a_zip_is_unpacked_with_its_folders(tmp_path: Path) -> None:
    """The runner imports from there."""
    archive = make_zip(tmp_path / "s.zip", "flow.py", "pkg/__init__.py", "pkg/a.py")

    folder = unpack(archive, tmp_path / "new" / "source")

    assert sorted(p.name for p in folder.rglob("*.py")) == ["__init__.py", "a.py", "flow.py"]


@pytest.mark.parametrize(
    "name", ["../x.py", "a/../../x.py", "/etc/x.py", "..\\x.py", "C:/x.py", "a/..", "//x.py"]
)
def test_a_member_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    """Nothing of such a zip is unpacked."""
    archive = make_zip(tmp_path / "s.zip", "flow.py", name)

    with pytest.raises(BadFlow, match="leads out of its folder"):
        unpack(archive, tmp_path / "source")

    assert not (tmp_path / "source").exists()


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    """It could lead anywhere."""
    archive = tmp_path / "s.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(link, "/etc")

    with pytest.raises(BadFlow, match="leads out"):
        unpack(archive, tmp_path / "source")


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    """By the size that its table names, before anything is written."""
    archive = tmp_path / "s.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("flow.py", b"\0" * (MAX_UNPACKED + 1))

    with pytest.raises(BadFlow, match="bytes unpacked"):
        unpack(archive, tmp_path / "source")


@pytest.mark.parametrize("content", [b"", b"no zip at all"])
def test_what_is_no_zip_is_said(tmp_path: Path, content: bytes) -> None:
    """With the file's path."""
    archive = tmp_path / "s.zip"
    archive.write_bytes(content)

    with pytest.raises(BadFlow, match=r"s\.zip"):
        unpack(archive, tmp_path / "source")


@pytest.fixture
def flow_folder(tmp_path: Path) -> Iterator[Path]:
    """A flow with a sibling, a package with a relative import, and a module imported late."""
    before = set(sys.modules)
    files = {
        "flow.py": (
            "import json\nimport sibling_mod\nfrom pack_mod import total\n"
            "def main():\n    import late_mod\n    return late_mod.late, sibling_mod.near, total\n"
        ),
        "sibling_mod.py": "def near(): return 1\n",
        "late_mod.py": "def late(): return 2\n",
        "pack_mod/__init__.py": "from .inner import total\n",
        "pack_mod/inner.py": "from .deep import N\ndef total(): return N\n",
        "pack_mod/deep.py": "N = 3\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_own_modules_travel_by_value(flow_folder: Path) -> None:
    """Also those of packages, and those imported when the flow already runs."""
    with load("flow.py:main", flow_folder) as flow:
        functions = flow.function()

        for function in (flow.function, *functions):
            pickled = cloudpickle.dumps(function)
            assert b"_make_function" in pickled, function


def test_installed_modules_never_do(flow_folder: Path) -> None:
    """Workers have them: they travel by name."""
    with load("flow.py:main", flow_folder):
        for installed in (json.dumps, slug):
            assert b"_make_function" not in cloudpickle.dumps(installed)


def test_a_library_below_the_folder_is_not_the_flows_own(tmp_path: Path) -> None:
    """A virtual environment often lies in the project's folder."""
    root = tmp_path

    assert is_own(root / "helper.py", root)
    assert is_own(root / "pkg/helper.py", root)
    assert not is_own(root / ".venv/lib/python3.12/site-packages/numpy/__init__.py", root)
    assert not is_own(tmp_path.parent / "elsewhere.py", root)
    assert is_installed(Path(stat.__file__))

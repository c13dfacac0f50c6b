"""Rules of packing: what the flow needs goes along, what it does not need stays, and it is repeatable."""

import io
import os
import zipfile
from pathlib import Path

import pytest

from dask_flows.errors import UsageError
from dask_flows.submission import Request, manifests_for, pack


def write(root: Path, *paths: str, content: str = "x = 1\n") -> Path:
    """Write files below a folder; return the first."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root / paths[0]


def test_modules_and_packages_beside_the_flow_go_along(tmp_path: Path) -> None:
    """Data files only inside packages; no caches, hidden folders or virtual environments."""
    flow = write(
        tmp_path, "flow.py", "helper.py", "pkg/__init__.py", "pkg/deep/a.py", "pkg/table.csv",
        "README.md", "data/big.csv", ".git/config.py", "venv/lib.py", "pkg/__pycache__/a.py",
    )  # fmt: skip

    packed = pack(flow)

    assert sorted(packed.files) == [
        "flow.py", "helper.py", "pkg/__init__.py", "pkg/deep/a.py", "pkg/table.csv",
    ]  # fmt: skip
    assert packed.zipped is None


def test_large_sources_become_a_zip_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    """Neither the clock nor the file system's order changes the archive."""
    flow = write(tmp_path, "flow.py", "b.py", "a.py", content="# " + "long " * 8_000)

    first, second = pack(flow).zipped, pack(flow).zipped

    assert first == second
    assert first is not None
    assert zipfile.ZipFile(io.BytesIO(first)).namelist() == ["a.py", "b.py", "flow.py"]


def test_binary_files_in_packages_travel_as_a_zip(tmp_path: Path) -> None:
    """A FlowRun holds text only."""
    flow = write(tmp_path, "flow.py", "pkg/__init__.py")
    (tmp_path / "pkg" / "model.bin").write_bytes(b"\xff\x00")

    assert pack(flow).zipped is not None


def test_too_much_source_is_refused_with_the_largest_files(tmp_path: Path) -> None:
    """A person sees what to move."""
    flow = write(tmp_path, "flow.py", "pkg/__init__.py")
    (tmp_path / "pkg" / "weights.bin").write_bytes(os.urandom(1_300_000))

    with pytest.raises(UsageError, match=r"weights\.bin"):
        pack(flow)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The message names the path."""
    with pytest.raises(UsageError, match=r"nothing\.py"):
        pack(tmp_path / "nothing.py")


def test_a_small_source_is_readable_in_the_run(tmp_path: Path) -> None:
    """One object, no ConfigMap."""
    source = pack(write(tmp_path, "flow.py"))

    (run,) = manifests_for(Request(flow="flow.py:f", name="r", source=source), "ns")

    assert run["spec"]["source"] == {"files": [{"path": "flow.py", "content": "x = 1\n"}]}


def test_a_large_source_is_made_before_the_run_that_needs_it(tmp_path: Path) -> None:
    """The agent may start at once."""
    flow = write(tmp_path, "flow.py", "a.py", content="# " + "long " * 8_000)

    config_map, run = manifests_for(Request(flow="flow.py:f", name="r", source=pack(flow)), "ns")

    assert config_map["kind"] == "ConfigMap"
    assert run["spec"]["source"]["configMap"]["name"] == config_map["metadata"]["name"]


@pytest.mark.parametrize("name", ["Upper", "a_b", "x" * 53, "-a", "a.b", "", "a--b"])
def test_names_that_the_api_would_refuse_are_refused_first(name: str) -> None:
    """The message says which letters are allowed."""
    with pytest.raises(UsageError, match="--name"):
        manifests_for(Request(flow="a:b", name=name), "ns")


def test_a_name_of_our_own_is_readable_and_new_each_time() -> None:
    """It starts with the flow's name."""
    first, second = (Request(flow="pkg.mod:My_Flow").run_name() for _ in range(2))

    assert first.startswith("my-flow-")
    assert first != second

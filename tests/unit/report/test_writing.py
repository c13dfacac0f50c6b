"""Rules of the folder: refused before the run, and never half a report."""

import json
from pathlib import Path

import pytest

from dask_flows.errors import UsageError
from dask_flows.report.model import Record
from dask_flows.report.writing import DASK_REPORT, DATA, PAGE, prepare, save


def test_a_folder_is_made_and_keeps_what_is_in_it(tmp_path: Path) -> None:
    """A run that is refused before it starts has no report that could replace the last one."""
    folder = tmp_path / "a" / "b"
    prepare(folder)
    for name in (DATA, PAGE, DASK_REPORT, "notes.txt"):
        (folder / name).write_text("old")
    prepare(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(
        (DATA, PAGE, DASK_REPORT, "notes.txt"), "old"
    )


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """With what was found, where, and what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as refused:
        prepare(tmp_path / "file" / "out")
    assert str(refused.value) == (
        f"the report cannot be written: Not a directory (--save {tmp_path}/file/out): name a folder that you may "
        "write to"
    )
    assert refused.value.exit_code == 2


def test_both_files_are_written_and_linked(tmp_path: Path, record: Record) -> None:
    """Dask's own report only if there is one."""
    page = save(tmp_path, record)
    assert page == tmp_path / PAGE
    assert _names(tmp_path) == [PAGE, DATA]
    assert DASK_REPORT not in page.read_text()
    assert json.loads((tmp_path / DATA).read_text())["run"]["name"] == "flow.py:main"

    save(tmp_path, record, dask_report="<p>theirs</p>")
    assert (tmp_path / DASK_REPORT).read_text() == "<p>theirs</p>"
    assert f'href="{DASK_REPORT}"' in page.read_text()

    save(tmp_path, record)
    assert _names(tmp_path) == [PAGE, DATA], "one of another run is not this run's"
    assert DASK_REPORT not in page.read_text()


def test_a_file_is_there_whole_or_not_at_all(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves what was there before, and no litter."""
    save(tmp_path, record)
    before = (tmp_path / DATA).read_text()

    def full(path: Path, text: str, **_: object) -> None:
        path.write_bytes(text[:100].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, record)
    assert (tmp_path / DATA).read_text() == before
    assert _names(tmp_path) == [PAGE, DATA]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())

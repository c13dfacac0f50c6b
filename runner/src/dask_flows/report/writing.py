"""Put a report into its folder: whole files or none, and a folder that is refused before the run starts."""

import json
import os
import tempfile
from pathlib import Path

from dask_flows.errors import UsageError
from dask_flows.report.findings import find
from dask_flows.report.model import Record
from dask_flows.report.page import render

DATA, PAGE, DASK_REPORT = "run.json", "report.html", "dask-report.html"


def prepare(folder: Path) -> None:
    """Make the folder and try to write there, which leaves what is in it; raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"the report cannot be written: {error.strerror or error}",
            where=f"--save {folder}",
            do="name a folder that you may write to",
        ) from None


def save(folder: Path, record: Record, *, dask_report: str | None = None) -> Path:
    """Write run.json and report.html, replace those of an earlier run; returns the latter. Raises OSError."""
    if dask_report is None:
        (folder / DASK_REPORT).unlink(missing_ok=True)
    else:
        _write(folder / DASK_REPORT, dask_report)
    findings = find(record)
    told = record.to_dict([{"level": one.level, "text": one.text} for one in findings])
    _write(folder / DATA, json.dumps(told, ensure_ascii=False, indent=1, default=str) + "\n")
    linked = DASK_REPORT if dask_report is not None else None
    _write(folder / PAGE, render(record, findings, dask_report=linked))
    return folder / PAGE


def _write(path: Path, text: str) -> None:
    """Write a whole file or leave the one that is there."""
    begun = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        begun.write_text(text, encoding="utf-8", errors="backslashreplace")
        begun.replace(path)
    finally:
        begun.unlink(missing_ok=True)

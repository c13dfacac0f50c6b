"""Make a record of what the scheduler has recorded and what the runner has noted."""

from collections.abc import Mapping, Sequence
from typing import Any

from dask_flows.report.model import (
    Failure,
    Mark,
    Moved,
    Name,
    Phase,
    Record,
    Run,
    Sample,
    Task,
    Timeline,
    Worker,
)  # fmt: skip

NO_TASKS = "The scheduler could not record tasks: dask-flows is not installed there, or has another version."
NO_ANSWER = "The scheduler did not answer at the end: its last known numbers are shown."
NOTHING = "There was no cluster yet, so nothing about tasks and workers is known."


def read(
    run: Run, marks: Sequence[Mark], raw: Mapping[str, Any] | None, *, at: float, last: bool
) -> Record:
    """Return the record; ``raw`` is what the scheduler said ``at`` seconds after the start.

    ``last`` is whether it was asked at the end. Raises KeyError, TypeError or ValueError for data that an
    other version has made.
    """
    phases = _phases(marks, run.seconds)
    if raw is None:
        return Record(run=run, phases=phases, missing=(NOTHING,))
    zero = float(raw["now"]) - at  # the run's start by the scheduler's clock
    missing = [] if "names" in raw else [NO_TASKS]
    missing += [] if last else [NO_ANSWER]
    names = _names(raw)
    return Record(
        run=run,
        phases=phases,
        names=tuple(sorted(names, key=lambda one: (-one.seconds, one.name))),
        slowest=tuple(
            Task(s, str(n), str(k), str(w), begin - zero)
            for s, n, k, w, begin in sorted(raw.get("slowest", ()), reverse=True)
        ),
        failures=tuple(
            Failure(when - zero, *map(str, rest)) for when, *rest in raw.get("failures", ())
        ),
        workers=tuple(sorted((_worker(one, zero) for one in raw["workers"]), key=_natural)),
        samples=tuple(_sample(row, zero) for row in raw["samples"]),
        by_name=_timeline(raw.get("by_name"), zero),
        by_worker=_timeline(raw.get("by_worker"), zero),
        moved=_moved(raw.get("metrics", ())),
        missing=tuple(missing),
    )


def _phases(marks: Sequence[Mark], end: float) -> tuple[Phase, ...]:
    ends = [*(mark.at for mark in marks[1:]), end]
    return tuple(
        Phase(mark.name, mark.at, max(0.0, after - mark.at))
        for mark, after in zip(marks, ends, strict=True)
    )


def _names(raw: Mapping[str, Any]) -> list[Name]:
    processor = {
        key[1]: value
        for *key, value in raw.get("metrics", ())
        if len(key) == 4 and key[0] == "execute" and key[2] == "thread-cpu"  # noqa: PLR2004 - context, name, what, unit
    }
    return [
        Name(
            name=str(name),
            processor=processor.get(name),
            **{
                **known,
                "histogram": tuple((2.0**power, count) for power, count in known["histogram"]),
            },
        )
        for name, known in raw.get("names", {}).items()
    ]


def _worker(known: Mapping[str, Any], zero: float) -> Worker:
    moments = {
        key: None if known.get(key) is None else known[key] - zero for key in ("joined", "left")
    }
    return Worker(**{**known, **moments})


def _natural(worker: Worker) -> tuple[list[tuple[int, str]], float]:
    """Sort ``worker-10`` behind ``worker-9``."""
    parts = worker.name.replace(".", "-").split("-")
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts], worker.joined or 0.0


def _sample(row: Sequence[float], zero: float) -> Sample:
    at, *counts = row
    return Sample(at - zero, *map(int, counts))


def _timeline(known: Mapping[str, Any] | None, zero: float) -> Timeline:
    if known is None:
        return Timeline()
    series = {str(name): tuple(row) for name, row in known["series"].items() if row}
    return Timeline(start=known["start"] - zero, width=known["width"], series=series)


def _moved(metrics: Sequence[Sequence[Any]]) -> Moved:
    """Add Dask's fine metrics up: (context, …, what, unit), value."""
    found: dict[str, float] = {}
    for context, *_, what, unit, value in metrics:
        for kind in _kinds(context, what, unit):
            found[kind] = found.get(kind, 0) + value
    whole = {key: int(value) if key.endswith("bytes") else value for key, value in found.items()}
    return Moved(**whole)  # type: ignore[arg-type]  # by its own names


def _kinds(context: str, what: str, unit: str) -> list[str]:
    if unit == "bytes":
        kinds = {"disk-write": ["spilled_bytes"], "disk-read": ["restored_bytes"]}.get(what, [])
        return [*kinds, "sent_bytes"] if context == "get-data" and what.endswith("-read") else kinds
    if unit != "seconds":
        return []
    if what == "network":
        return ["network_seconds"] if context == "gather-dep" else []
    if what in ("disk-read", "disk-write"):
        return ["disk_seconds"]
    serialize = what in ("serialize", "deserialize", "compress", "decompress")
    return ["serialize_seconds"] if serialize else []

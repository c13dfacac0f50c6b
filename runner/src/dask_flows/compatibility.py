"""Whether runner, scheduler and workers have packages that fit: the rules, the comparison, the table.

What Dask itself needs has a rule below. Packages that only the flow imports have one for all of them: each
worker must have them, and another version than the runner's is worth a warning. A strict run compares all
that anybody has named.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

Versions = Mapping[str, str | None]  # None: it is not installed; without a key: nobody has said

EXACT, MAJOR, MINOR, PRESENCE = "equal", "same major", "same minor", "presence"
FATAL, WARNING, HARMLESS = "fatal", "warning", "harmless"
MISSING, UNKNOWN = "missing", "?"
NAMED = 3  # workers of one value; more are counted
_PARTS = {EXACT: None, MAJOR: 1, MINOR: 2, PRESENCE: 0}


@dataclass(frozen=True)
class Rule:
    """What must be the same of a package, and why."""

    package: str
    same: str
    reason: str


RULES = (
    Rule("python", MINOR, "functions travel as bytecode, which each minor version changes"),
    Rule("dask", EXACT, "graphs travel as its classes, which change without notice"),
    Rule("distributed", EXACT, "its protocol has no versions: releases do not promise to fit"),
    Rule("cloudpickle", MAJOR, "version 2 cannot load what version 3 has pickled"),
    Rule("msgpack", MAJOR, "every message is packed with it; a major version keeps the format"),
    Rule("tornado", MAJOR, "it runs the connections; nothing of it travels"),
)
# The scheduler passes data on as it came, so whoever receives it must be able to unpack what others pack.
COMPRESSION = (
    Rule("lz4", PRESENCE, "one side would pack with it what another cannot unpack"),
    Rule("python-snappy", PRESENCE, "one side would pack with it what another cannot unpack"),
    Rule("zstandard", PRESENCE, "one side would pack with it what another cannot unpack"),
)
RULED = tuple(rule.package for rule in (*RULES, *COMPRESSION))
STRICT = "Dask compares it, and --strict-environment lets nothing differ"
IMPORTED = "the flow imports it, and tasks need it on the workers"


@dataclass(frozen=True)
class Row:
    """A package that is not the same everywhere; ``scheduler`` is None if nobody looked there."""

    package: str
    level: str
    reason: str
    runner: str
    scheduler: str | None
    workers: Mapping[str, str]

    @property
    def told(self) -> str:
        """The row in one line."""
        scheduler = "" if self.scheduler is None else f"scheduler {self.scheduler}, "
        return f"{self.package}: runner {self.runner}, {scheduler}workers {grouped(self.workers)}"


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a run needs: the runner's versions, the distributions that the flow imports, how strict it is.

    ``imported`` has a module of each distribution: a worker may have that without the metadata.
    ``compresses`` says whether Dask packs what it sends; that is off unless somebody has switched it on.
    """

    runner: Versions
    imported: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False
    compresses: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form, to be sent."""
        return asdict(self)

    def compare(self, scheduler: Versions | None, workers: Mapping[str, Versions]) -> list[Row]:
        """Return the packages that are worth a word, the fatal ones first.

        ``workers`` has the versions by the worker's name; a None for the scheduler leaves it out.
        """
        rows = [
            row
            for rule in (*RULES, *COMPRESSION)
            if (row := self._ruled(rule, scheduler, workers)) is not None
        ]
        rows += [
            row
            for package in sorted(set(self.imported) - set(RULED))
            if (row := self._imported(package, scheduler, workers)) is not None
        ]
        if self.strict:
            told = {
                name for each in (self.runner, scheduler or {}, *workers.values()) for name in each
            }
            rows += [
                row
                for package in sorted(told - set(RULED) - set(self.imported))
                if (row := self._row(package, FATAL, STRICT, scheduler, workers)) is not None
            ]
        return sorted(rows, key=lambda row: row.level != FATAL)

    def _ruled(
        self, rule: Rule, scheduler: Versions | None, workers: Mapping[str, Versions]
    ) -> Row | None:
        said = list(_said(rule.package, self.runner, scheduler, workers))
        kept = {_kept(value, rule.same) for value in said if value != UNKNOWN}
        if len(kept) > 1:
            harmful = rule.same != PRESENCE or self.compresses
            level = FATAL if harmful else WARNING
        else:
            level = WARNING if UNKNOWN in said and rule.same != PRESENCE else HARMLESS
        return self._row(rule.package, level, rule.reason, scheduler, workers)

    def _imported(
        self, package: str, scheduler: Versions | None, workers: Mapping[str, Versions]
    ) -> Row | None:
        lacking = MISSING in (_value(worker, package) for worker in workers.values())
        return self._row(package, FATAL if lacking else WARNING, IMPORTED, scheduler, workers)

    def _row(
        self,
        package: str,
        level: str,
        reason: str,
        scheduler: Versions | None,
        workers: Mapping[str, Versions],
    ) -> Row | None:
        if len(set(_said(package, self.runner, scheduler, workers))) == 1:
            return None
        if self.strict:
            level = FATAL
        if level == HARMLESS:
            return None
        return Row(
            package,
            level,
            reason,
            _value(self.runner, package),
            None if scheduler is None else _value(scheduler, package),
            {name: _value(versions, package) for name, versions in workers.items()},
        )


def fatal(rows: Collection[Row]) -> list[Row]:
    """Return the rows with which no run may go on."""
    return [row for row in rows if row.level == FATAL]


def table(rows: Collection[Row]) -> str:
    """Write rows as kubectl would: package, runner, scheduler, workers, and why it matters."""
    head = ("PACKAGE", "RUNNER", "SCHEDULER", "WORKERS", "WHY")
    lines = [head]
    lines += [
        (row.package, row.runner, row.scheduler or UNKNOWN, grouped(row.workers), row.reason)
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def grouped(workers: Mapping[str, str]) -> str:
    """Write the workers' values, each once: ``2.3.0 (pod-1, pod-2), 2.4.0 (5 workers)``."""
    names: dict[str, list[str]] = {}
    for name in sorted(workers):
        names.setdefault(workers[name], []).append(name)
    if not names:
        return "none"
    if len(names) == 1 and len(workers) > 1:
        return next(iter(names))
    return ", ".join(f"{value} ({_who(names[value])})" for value in sorted(names))


def read_versions(answer: Any) -> dict[str, str | None]:
    """Read what Dask's ``versions`` says, whatever its release; what cannot be read stays unknown."""
    packages = answer.get("packages") if isinstance(answer, Mapping) else None
    try:
        pairs = dict(packages or {}).items()
    except (TypeError, ValueError):
        return {}
    return {
        str(package): None if version is None else _tidy(str(package), str(version))
        for package, version in pairs
    }


def _said(
    package: str, runner: Versions, scheduler: Versions | None, workers: Mapping[str, Versions]
) -> Iterator[str]:
    others = [] if scheduler is None else [scheduler]
    return (_value(one, package) for one in chain([runner], others, workers.values()))


def _value(versions: Versions, package: str) -> str:
    return (versions[package] or MISSING) if package in versions else UNKNOWN


def _kept(value: str, same: str) -> str:
    """Return what of a version must be the same."""
    parts = _PARTS[same]
    if parts is None or value == MISSING:
        return value
    return ".".join(value.split(".")[:parts])


def _tidy(package: str, version: str) -> str:
    """Return Python's version as people write it, not 3.11.2.final.0."""
    return ".".join(version.split(".")[:3]) if package == "python" else version


def _who(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= NAMED else f"{len(names)} workers"

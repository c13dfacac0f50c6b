"""What a soak shows: its plan before, its table afterwards."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from soak.schedule import Action


@dataclass
class Result:
    """What a soak found."""

    seed: int
    minutes: float
    folder: str
    runs: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    attempts: int = 0
    most_attempts: int = 0
    starts: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    longest_without_agent: float = 0.0
    longest_recovery: float = 0.0
    agent_peak_mib: float = 0.0
    rest_seconds: float = 0.0
    many_runs: int = 0
    many_starts: int = 0
    many_kills: int = 0
    many_peak_mib: float = 0.0
    violations: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """1 for a broken rule, 3 if only the soak itself failed, else 0."""
        return 1 if self.violations else 3 if self.broken else 0

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**asdict(self), "ok": self.exit_code == 0}


def plan(actions: Sequence[Action], seed: int, minutes: float) -> str:
    """Write the schedule."""
    lines = [f"soak: seed {seed}, {minutes:g} minutes, {len(actions)} actions"]
    return "\n".join([*lines, *map(str, actions)])


def summed(result: Result, runs: Sequence[dict[str, Any]], removed: int) -> None:
    """Count runs by their ends, and attempts."""
    statuses = [run.get("status") or {} for run in runs]
    ends = Counter(_end(status) for status in statuses)
    if removed:
        ends["deleted on the way"] = removed
    result.runs = len(runs) + removed
    result.outcomes = dict(sorted(ends.items()))
    result.modes = dict(Counter(str(status.get("mode") or "none") for status in statuses))
    attempts = [int(status.get("attempt") or 0) for status in statuses]
    result.attempts, result.most_attempts = sum(attempts), max(attempts, default=0)


def table(result: Result) -> str:
    """Write the result for people."""
    rows = [
        ("seed", f"{result.seed}, {result.minutes:g} minutes"),
        ("runs", str(result.runs)),
        *((f"  {end}", str(count)) for end, count in result.outcomes.items()),
        ("modes", _counts(result.modes)),
        ("attempts", f"{result.attempts}, at most {result.most_attempts} of one run"),
        ("starts seen", str(result.starts)),
        ("faults", str(sum(result.faults.values()))),
        *((f"  {kind}", str(count)) for kind, count in sorted(result.faults.items())),
        ("longest without agent", f"{result.longest_without_agent:.1f} s"),
        ("longest recovery", f"{result.longest_recovery:.1f} s"),
        ("most memory of an agent", f"{result.agent_peak_mib:.0f} MiB"),
        ("at rest after", f"{result.rest_seconds:.1f} s"),
        ("runs on fake nodes", f"{result.many_runs}, starts {result.many_starts}"),
        ("  their agent killed", str(result.many_kills)),
        ("  its most memory", f"{result.many_peak_mib:.0f} MiB"),
        ("violations", str(len(result.violations))),
        *(("", line) for line in result.violations),
        *(("the soak itself", line) for line in result.broken),
        ("folder", result.folder),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _end(status: dict[str, Any]) -> str:
    phase = str(status.get("phase") or "Pending")
    reason = status.get("reason")
    return f"{phase} ({reason})" if reason and reason != phase else phase


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))

"""Summaries and result tables shared by the benchmarks."""

import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median, stdev

RESULTS = Path(__file__).parent / "results"
# Student's t for an interval of 95 %, by degrees of freedom; then it is nearly the normal distribution's.
T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)


def spread(values: Sequence[float]) -> str:
    """Write min / median / max."""
    return f"{min(values):.2f} / **{median(values):.2f}** / {max(values):.2f}"


def ratio(values: Sequence[float], floor: Sequence[float]) -> str:
    """Write the ratio of the medians."""
    return f"{median(values) / median(floor):.2f}"


def paired(values: Sequence[float], floor: Sequence[float]) -> tuple[float, float]:
    """Return the mean of the ratios of pairs, and half of its interval of 95 %."""
    ratios = [one / other for one, other in zip(values, floor, strict=True)]
    if len(ratios) < 2:  # one says nothing of the spread
        return mean(ratios), float("inf")
    return mean(ratios), T95[min(len(ratios) - 2, len(T95) - 1)] * stdev(ratios) / len(
        ratios
    ) ** 0.5


def machine() -> str:
    """Say in one line what this was measured on, and when."""
    cpu = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")),
        platform.processor(),
    )  # fmt: skip
    cores = len(
        [
            1
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("processor")
        ]
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return f"{datetime.now(UTC):%Y-%m-%d}, {cores} cores ({cpu}), Python {platform.python_version()}, commit {commit}"


def write(
    name: str,
    title: str,
    notes: Sequence[str],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> None:
    """Write one result table as Markdown, and show it."""
    lines = [f"# {title}", "", machine(), "", *notes, ""]
    lines += ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))

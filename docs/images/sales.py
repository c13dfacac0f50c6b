# ruff: noqa: INP001 - no package: it is run by its path
"""The flow on the picture of a report: months of sales are read, cleaned, joined, scored and checked."""

import random
import time

import numpy as np
from distributed import get_client, wait
from numpy.typing import NDArray

Part = NDArray[np.float64]

USUAL, GOOD = 0.995, 0.985


def read_month(month: int, megabytes: int) -> Part:
    """Make the sales of a month, slowly, as if they came from far away."""
    time.sleep(0.15)
    return np.random.default_rng(month).random(megabytes * 131_072)


def clean(part: Part) -> Part:
    """Sort, and drop what is out of range."""
    return np.sort(part[part < USUAL])


def join(*parts: Part) -> Part:
    """Make a quarter of months."""
    time.sleep(0.3)
    return np.concatenate(parts)[::3]


def score(row: int, table: Part) -> float:
    """Compute for a while; some rows take much longer than others."""
    end = time.perf_counter() + random.expovariate(20)
    while time.perf_counter() < end:
        pass
    return float(table[row * 7919 % len(table)])


def validate(value: float) -> float:
    """Refuse a few."""
    if value > GOOD:
        raise ValueError(f"{value:.3f} is out of range")
    return value


def summarize(values: list[float]) -> float:
    """Do last what nobody else can help with."""
    time.sleep(2.5)
    return sum(values) / len(values)


def sales(months: int = 24, rows: int = 600, megabytes: int = 24) -> dict[str, float]:
    """Return how many rows are good, and their mean."""
    client = get_client()
    parts = client.map(read_month, range(months), megabytes=megabytes)
    cleaned = client.map(clean, parts)
    quarters = [client.submit(join, *cleaned[n : n + 3]) for n in range(0, months, 3)]
    wait(quarters)
    scores = [client.submit(score, n, quarters[n % len(quarters)]) for n in range(rows)]
    checked = client.map(validate, scores)
    wait(checked)
    good = [one for one in checked if one.status == "finished"]
    return {"rows": len(good), "mean": round(client.submit(summarize, good).result(), 3)}

"""Rules of sizing, from the table that the chart's tests read too."""

from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from dask_flows.errors import UsageError
from dask_flows.sizing import memory_limit, nthreads, quantity

TABLE = yaml.safe_load((Path(__file__).parents[1] / "data" / "sizing.yaml").read_text())


@pytest.mark.parametrize("row", TABLE, ids=lambda row: str(row["resources"]))
def test_resources_become_threads_and_memory(row: dict) -> None:
    """Dask is always told both; the chart renders the same numbers."""
    assert nthreads(row["resources"], row.get("threads")) == row["nthreads"]
    assert memory_limit(row["resources"]) == row["memoryLimit"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("500m", "0.5"), ("1.5", "1.5"), ("4Gi", 4 * 2**30), ("4G", 4 * 10**9), ("1e3", 1000),
     ("1E3", 1000), ("2k", 2000), ("1Ki", 1024), (3, 3), (0.5, "0.5"), (".5", "0.5"), ("1E", 10**18)],
)  # fmt: skip
def test_quantities_read_as_kubernetes_reads_them(text: object, value: object) -> None:
    """Suffixes are decimal (k, M, G), binary (Ki, Mi, Gi) or an exponent."""
    assert quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1gb", "-1", "1Gib", "4 G", "--", "1e"])
def test_other_text_is_refused_with_an_example(text: str) -> None:
    """The message shows how quantities are written."""
    with pytest.raises(UsageError, match="512Mi"):
        quantity(text)

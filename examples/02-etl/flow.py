"""Read millions of rows, aggregate them with dask.dataframe, and check the answer against pandas.

Real data would lie in object storage. Here each partition makes its own part of it, writes it as Parquet and
reads it back, so that the example needs no storage and still does the work of one.
"""

import socket
import tempfile
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd

CITIES = ["Amsterdam", "Bogota", "Cairo", "Delhi", "Edinburgh", "Fukuoka"]


def make_part(number: int, rows: int) -> pd.DataFrame:
    """Return one part of the sales, the same every time for the same number."""
    random = np.random.default_rng(number)
    return pd.DataFrame(
        {
            "city": random.choice(CITIES, rows),
            "units": random.integers(1, 10, rows),
            "price": random.uniform(1, 100, rows).round(2),
        }
    )


def load_part(number: int, rows: int) -> pd.DataFrame:
    """Write a part as Parquet and read it, as from a store."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"part-{number}.parquet"
        make_part(number, rows).to_parquet(path)
        part = pd.read_parquet(path)
    return part.assign(revenue=part.units * part.price, host=socket.gethostname())


def by_city(sales: pd.DataFrame) -> pd.Series:
    """Return the revenue of each city, with pandas alone."""
    return (sales.units * sales.price).groupby(sales.city).sum()


def etl(rows: int = 4_000_000, parts: int = 8) -> dict[str, Any]:
    """Return the best city, its revenue, the rows read, and who read them."""
    each = rows // parts
    meta = load_part(0, 1).iloc[:0]
    sales = dd.from_map(load_part, range(parts), rows=each, meta=meta)
    revenue, units, hosts = dd.compute(
        sales.groupby("city").revenue.sum(), sales.units.sum(), sales.host.unique()
    )
    expected = sum(
        (by_city(make_part(number, each)) for number in range(parts)),
        start=pd.Series(0.0, index=CITIES),
    )
    assert np.allclose(revenue.sort_index(), expected.sort_index())
    return {
        "best": str(revenue.idxmax()),
        "revenue": round(float(revenue.max()), 2),
        "units": int(units),
        "rows": each * parts,
        "workers": sorted(hosts),
    }

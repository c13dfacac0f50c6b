# From: dask 2026.8.0, docs/source/10-minutes-to-dask.rst, every example that computes, in its order
# License: BSD-3-Clause, ../LICENSE.txt
# Changed: prompts removed; in one function, because the page works at a prompt; some answers are returned

import numpy as np
import pandas as pd

import dask
import dask.dataframe as dd
import dask.array as da
import dask.bag as db


def main():
    index = pd.date_range("2021-09-01", periods=2400, freq="1h")
    df = pd.DataFrame({"a": np.arange(2400), "b": list("abcaddbe" * 300)}, index=index)
    ddf = dd.from_pandas(df, npartitions=10)
    ddf["2021-10-01": "2021-10-09 5:00"].compute()
    mean = ddf.a.mean().compute()
    unique = ddf.b.unique().compute()
    result = ddf["2021-10-01": "2021-10-09 5:00"].a.cumsum() - 100
    cumsum = result.compute()

    data = np.arange(100_000).reshape(200, 500)
    a = da.from_array(data, chunks=(100, 100))
    a[:50, 200].compute()
    array_mean = a.mean().compute()
    np.sin(a).compute()
    a.T.compute()
    b = a.max(axis=1)[::-1] + 10
    top = b[:10].compute()

    b = db.from_sequence([1, 2, 3, 4, 5, 6, 2, 1], npartitions=2)
    b.compute()
    odd = b.filter(lambda x: x % 2).compute()
    distinct = b.distinct().compute()
    c = db.zip(b, b.map(lambda x: x * 10))
    zipped = c.compute()

    @dask.delayed
    def inc(x):
       return x + 1

    @dask.delayed
    def add(x, y):
       return x + y

    a = inc(1)       # no work has happened yet
    b = inc(2)       # no work has happened yet
    c = add(a, b)    # no work has happened yet

    c = c.compute()  # This triggers all of the above computations

    return {
        "mean": float(mean), "unique": sorted(unique), "cumsum": int(cumsum.iloc[-1]),
        "array mean": float(array_mean), "top": int(top[0]), "odd": odd,
        "distinct": sorted(distinct), "zipped": len(zipped), "delayed": c,
    }

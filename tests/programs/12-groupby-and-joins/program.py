# From: dask 2026.8.0, docs/source/dataframe-groupby.rst, "Aggregate", and docs/source/dataframe-joins.rst,
#       the first example
# License: BSD-3-Clause, ../LICENSE.txt
# Changed: prompts removed; in one function, because the pages work at a prompt; the aggregations of which
#          the page shows no call are computed as in its next line; the last lines before
#          return compute two "Difficult Cases" of the first page on the second's data; three
#          days of data for thirty; some answers are returned

import pandas as pd

import dask
import dask.dataframe as dd


def chunk(grouped):
    return grouped.max(), grouped.min()

def agg(chunk_maxes, chunk_mins):
    return chunk_maxes.max(), chunk_mins.min()

def finalize(maxima, minima):
    return maxima - minima


def main():
    df = pd.DataFrame({
      'a': ['a', 'b', 'a', 'a', 'b'],
      'b': [0, 1, 0, 2, 5],
    })
    ddf = dd.from_pandas(df, 2)

    custom_mean = dd.Aggregation(
        'custom_mean',
        lambda s: (s.count(), s.sum()),
        lambda count, sum: (count.sum(), sum.sum()),
        lambda count, sum: sum / count,
    )
    means = ddf.groupby('a').agg(custom_mean).compute()

    extent = dd.Aggregation('extent', chunk, agg, finalize=finalize)
    extents = ddf.groupby('a').agg(extent).compute()

    df['c'] = [1, 2, 1, 1, 2]
    ddf = dd.from_pandas(df, 2)
    nunique = dd.Aggregation(
        name="nunique",
        chunk=lambda s: s.apply(lambda x: list(set(x))),
        agg=lambda s0: s0.obj.groupby(level=list(range(s0.obj.index.nlevels))).sum(),
        finalize=lambda s1: s1.apply(lambda final: len(set(final))),
    )
    uniques = ddf.groupby('a').agg({'b':nunique, 'c':nunique}).compute()

    large = dask.datasets.timeseries(end="2000-01-04", freq="10s", npartitions=10)
    small = dask.datasets.timeseries(freq="1D", dtypes={"z": int})
    small = small.repartition(npartitions=1)
    result = large.merge(small, how="left", on=["timestamp"])

    applied = result.groupby('name').apply(lambda group: group.x.max(), meta=('x', float)).compute()
    indexed = large.set_index('id')
    rows = len(indexed)

    return {
        "means": means.b.to_dict(), "extents": extents.b.to_dict(), "uniques": uniques.b.to_dict(),
        "names": len(applied), "rows": rows, "sorted": indexed.known_divisions,
    }

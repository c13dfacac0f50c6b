# From: dask 2026.8.0: docs/source/user-interfaces.rst, "High-Level Collections", Arrays;
#       docs/source/graph_manipulation.rst, the example with bind; the docstrings of dask.array.map_overlap and dask.array.linalg.svd_compressed
# License: BSD-3-Clause, ../LICENSE.txt
# Changed: prompts removed; in one function, because the pages work at a prompt; size: 1000 for 10000 and
#          250 for 1000 in the first, 5_000_000 for 500_000_000 and 500_000 for 100_000 in the second; some
#          answers are returned

import numpy as np

import dask
import dask.array as da


def main():
    rng = da.random.default_rng()
    x = rng.uniform(low=0, high=10, size=(1000, 1000),  # normal numpy code
                    chunks=(250, 250))  # break into chunks of size 1000x1000

    y = x + x.T - x.mean(axis=0)  # Use normal syntax for high level algorithms
    y = y.persist()
    low, high = dask.compute(y.min(), y.max())

    u, s, v = da.linalg.svd_compressed(x, 20)
    values = s.compute()

    x = da.random.default_rng().normal(size=5_000_000, chunks=500_000)
    x_mean = x.mean()
    from dask.graph_manipulation import bind
    xb = bind(x, x_mean)
    largest = (xb - x_mean).max().compute()

    x = np.array([1, 1, 2, 3, 3, 3, 2, 1, 1])
    x = da.from_array(x, chunks=5)
    def derivative(x):
        return x - np.roll(x, 1)

    y = x.map_overlap(derivative, depth=1, boundary=0)
    derived = y.compute()

    return {
        "low": float(low), "high": float(high), "values": len(values), "first": float(values[0]),
        "largest": float(largest), "derived": derived.tolist(),
    }

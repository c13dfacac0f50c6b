# From: dask 2026.8.0, docs/source/dashboard-progress-script.py
# License: BSD-3-Clause, ../LICENSE.txt
# Changed: Client(n_workers=4, threads_per_worker=2, memory_limit="4 GiB") is Client(), an address: Dask
#          refuses both together; size: once for "while True", 5 items for 1000, no pauses after it; the total is printed

"""
This script was run to produce some of the screenshots on https://docs.dask.org/en/stable/dashboard.html
"""

from __future__ import annotations

import time

from dask import delayed
from dask.distributed import Client, wait


@delayed
def inc(x):
    time.sleep(0.1)
    return x + 1


@delayed
def double(x):
    time.sleep(0.1)
    return 2 * x


@delayed
def add(x, y):
    time.sleep(0.1)
    return x + y


if __name__ == "__main__":
    with Client() as client:
        for _ in range(1):
            data = list(range(5))
            output = []
            for x in data:
                a = inc(x)
                b = double(x)
                c = add(a, b)
                output.append(c)

            total = delayed(sum)(output)
            total = total.persist()
            wait(total)
            print(total.compute())
            del total

# From: distributed 2026.8.0, the examples in the docstring of distributed.as_completed
# License: BSD-3-Clause, ../LICENSE.txt
# Changed: prompts removed; the client and the functions that it takes for granted added (first 12 lines);
#          both examples use one client (c is client)

import random

from distributed import Client, as_completed

client = c = Client()

def inc(x):
    return x + 1

def double(x):
    return 2 * x

x, y, z = client.map(inc, [1, 2, 3])
for future in as_completed([x, y, z]):
    print(future.result())

x, y, z = client.map(inc, [1, 2, 3])
ac = as_completed([x, y, z])
for future in ac:
    print(future.result())
    if random.random() < 0.5:
        ac.add(c.submit(double, future))

ac = as_completed([x, y, z], with_results=True)
for future, result in ac:
    print(result)

# From: dask 2026.8.0, docs/source/futures.rst, "Example: Parameter Server"
# License: BSD-3-Clause, ../LICENSE.txt
# Changed: Client(processes=False) is Client(), an address: Dask refuses both together; each put is waited for,
# because Dask sends calls to an actor side by side and a busy machine lets the next get come first

import numpy as np

from dask.distributed import Client
client = Client()

class ParameterServer:
    def __init__(self):
        self.data = dict()

    def put(self, key, value):
        self.data[key] = value

    def get(self, key):
        return self.data[key]

def train(params, lr=0.1):
    grad = 2 * (params - 1)  # gradient of (params - 1)**2
    new_params = params - lr * grad
    return new_params

ps_future = client.submit(ParameterServer, actor=True)
ps = ps_future.result()

ps.put('parameters', np.random.default_rng().random(1000)).result()
for k in range(20):
    params = ps.get('parameters').result()
    new_params = train(params)
    ps.put('parameters', new_params).result()
    print(new_params.mean())
    # k=0: "0.5988202981316124"
    # k=10: "0.9569236575164062"

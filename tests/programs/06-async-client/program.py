# From: distributed 2026.8.0, docs/source/asynchronous.rst, "Python 3 with Tornado or Asyncio"
# License: BSD-3-Clause, ../LICENSE.txt
# Changed: both answers are printed; asyncio.run(f()) for asyncio.get_event_loop().run_until_complete(f()),
#          which Python 3.14 no longer has without a running loop

from dask.distributed import Client

async def f():
    client = await Client(asynchronous=True)
    future = client.submit(lambda x: x + 1, 10)
    result = await future
    await client.close()
    return result

# Either use Tornado
from tornado.ioloop import IOLoop
print(IOLoop().run_sync(f))

# Or use asyncio
import asyncio
print(asyncio.run(f()))

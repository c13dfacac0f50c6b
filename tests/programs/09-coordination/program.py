# From: dask 2026.8.0, docs/source/futures.rst, "Coordination Primitives": the longest example of each of
#       Queues, Global Variables, Locks, Events, Semaphore
# License: BSD-3-Clause, ../LICENSE.txt
# Changed: imports gathered, one client; load, process and filenames, which the page leaves out, are added;
#          the queue is read once for each file for "while True"; load_locked has the name load and
#          returns "..." there; the gathered results are printed

import numpy as np

from dask.distributed import (
    Client, Event, Lock, Queue, Semaphore, Variable, fire_and_forget, get_client,
)

filenames = ['a.txt', 'bb.txt', 'ccc.txt']

def load(filename):
    return [filename] * 1000

def process(data):
    return len(data), data[0]

# Queues

def load_and_submit(filename):
    data = load(filename)
    client = get_client()
    future = client.submit(process, data)
    queue.put(future)

client = Client()

queue = Queue()

for filename in filenames:
    future = client.submit(load_and_submit, filename)
    fire_and_forget(future)

for _ in filenames:
    future = queue.get()
    print(future.result())

# Global Variables

var = Variable('stopping-criterion')
var.set(False)

print(var.get())

parameters = np.array([1.0, 2.0, 3.0])
future = client.scatter(parameters)
var.set(future)
print(var.get().result().sum())
var.delete()

# Locks

def load_locked(fn):
    with Lock('the-production-database'):
        # read data from filename using some sensitive source
        return fn.upper()

futures = client.map(load_locked, filenames)
print(client.gather(futures))

# Events

def wait_for_event(x):
   event = Event("my-event")

   event.wait()
   # at this point, all function calls
   # are in sync once the event is set

futures = client.map(wait_for_event, range(10))

Event("my-event").set()
print(client.gather(futures))

# Semaphore

sem = Semaphore(max_leases=2, name="database")

def access_limited(val, sem):
   with sem:
      # Interact with the DB
      return

futures = client.map(access_limited, range(10), sem=sem)
print(client.gather(futures))
sem.close()

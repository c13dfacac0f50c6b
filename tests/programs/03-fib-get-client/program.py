# From: distributed 2026.8.0, docs/source/task-launch.rst, "Getting the client on a worker"
# License: BSD-3-Clause, ../LICENSE.txt
# Changed: nothing; fib is the page's second one, with secede and rejoin

from distributed import Client, get_client, secede, rejoin

def fib(n):
    if n < 2:
        return n
    client = get_client()
    a_future = client.submit(fib, n - 1)
    b_future = client.submit(fib, n - 2)
    secede()
    a, b = client.gather([a_future, b_future])
    rejoin()
    return a + b

if __name__ == "__main__":
    client = Client()
    future = client.submit(fib, 10)
    result = future.result()
    print(result)  # prints "55"

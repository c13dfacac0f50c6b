"""A script with its own client: nothing in it knows of dask-flows."""

import socket

from distributed import Client


def square(x: int) -> int:
    return x * x


def main() -> None:
    with Client() as client:  # DASK_SCHEDULER_ADDRESS says which cluster
        total = client.submit(sum, client.map(square, range(100))).result()
        hosts = set(
            client.gather(client.map(lambda _: socket.gethostname(), range(10), pure=False))
        )
    print(f"sum of squares: {total}")
    print(f"computed on: {', '.join(sorted(hosts))}")


if __name__ == "__main__":
    main()

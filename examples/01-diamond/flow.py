"""The smallest flow with a shape: two branches that meet again."""

import socket
import time
from typing import Any

from distributed import get_client


def inc(x: int) -> int:
    return x + 1


def dec(x: int) -> int:
    return x - 1


def add(x: int, y: int) -> int:
    return x + y


def where(seconds: float) -> str:
    """Say which machine a task runs on, after a pause."""
    time.sleep(seconds)
    return socket.gethostname()


def diamond(n: int = 100, pause: float = 0) -> dict[str, Any]:
    """Return the sum of 2x over range(n), and who computed it; ``pause`` makes it last longer."""
    client = get_client()
    more = client.map(inc, range(n))
    less = client.map(dec, range(n))
    pairs = client.map(add, more, less)
    hosts = client.map(where, [pause] * 10, pure=False)
    answer = client.submit(sum, pairs).result()
    return {"answer": answer, "workers": sorted(set(client.gather(hosts)))}

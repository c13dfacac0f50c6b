"""A flow that every image holds: ``helm test`` and the first steps after an installation run it."""

from typing import Any


def inc(x: int) -> int:
    """Add one."""
    return x + 1


def dec(x: int) -> int:
    """Take one away."""
    return x - 1


def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y


def diamond(n: int = 100) -> dict[str, Any]:
    """Return the sum of 2x over range(n), by way of two branches; raises ValueError if it is wrong."""
    from distributed import get_client  # noqa: PLC0415 - only a run needs it

    client = get_client()
    more, less = client.map(inc, range(n)), client.map(dec, range(n))
    answer = client.submit(sum, client.map(add, more, less)).result()
    if answer != n * (n - 1):
        raise ValueError(f"the diamond of {n} is {answer}, not {n * (n - 1)}")
    return {"answer": answer}

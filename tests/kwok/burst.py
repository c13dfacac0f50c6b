"""Many FlowRuns at once, for tests that are not asynchronous themselves."""

import asyncio
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from dask_flows.kube.api import Api
from dask_flows.kube.resources import FLOWRUNS
from kwok.observer import Observer
from kwok.session import in_thread, session
from kwok.site import flow_run

CREATORS = 32


async def create(api: Api, namespace: str, names: Iterable[str], **spec: Any) -> None:
    """Create these runs as fast as the API server takes them."""
    queue = iter(names)

    async def some() -> None:
        for name in queue:
            await api.create(FLOWRUNS, namespace, flow_run(name, **spec))

    await asyncio.gather(*(some() for _ in range(CREATORS)))


def create_all(namespace: str, names: Iterable[str], **spec: Any) -> None:
    """Do the same and wait for it."""

    async def main() -> None:
        async with session(namespace) as api:
            await create(api, namespace, names, **spec)

    # In a thread: asyncio.run() would take away the event loop that pytest keeps for this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(main())).result()


@contextmanager
def watching(namespace: str) -> Iterator[Observer]:
    """Observe the namespace's FlowRuns in a thread of its own."""
    with in_thread(namespace, lambda api: Observer(api, namespace), Observer.work) as observer:
        yield observer

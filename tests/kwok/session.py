"""Clients with the rights that KUBECONFIG gives, and work with them in a thread."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

from dask_flows.kube.api import Api
from dask_flows.kube.connect import connect

T = TypeVar("T")
CLOSING = 0.25  # seconds in which aiohttp closes connections with TLS behind our back


@asynccontextmanager
async def session(namespace: str) -> AsyncIterator[Api]:
    """Connect, and leave no connection behind."""
    api = await connect(namespace=namespace)
    try:
        yield api
    finally:
        await api.close()
        await asyncio.sleep(CLOSING)


@contextmanager
def in_thread(
    namespace: str, make: Callable[[Api], T], work: Callable[[T], Coroutine[Any, Any, None]]
) -> Iterator[T]:
    """Make something that works for ever and let it, in an event loop of its own."""
    ready = threading.Event()
    made: list[Any] = []

    async def main() -> None:
        async with session(namespace) as api:
            found = make(api)
            task = asyncio.create_task(work(found))
            made.extend([found, asyncio.get_running_loop(), task])
            ready.set()
            with suppress(asyncio.CancelledError):
                await task

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="kwok", daemon=True)
    thread.start()
    assert ready.wait(60), "the thread did not start"
    found, loop, task = made
    try:
        yield found
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(task.cancel)
        thread.join(60)
    assert task.cancelled(), f"it ended by itself: {task.exception()!r}"

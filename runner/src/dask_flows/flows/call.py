"""Call a Python flow and bring its result home."""

import asyncio
import inspect
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from distributed import Client, Future

from dask_flows.errors import FlowFailed
from dask_flows.flows.callables import is_async
from dask_flows.flows.results import bring_home, bring_home_async, is_collection


def call(
    function: Callable[..., Any], arguments: dict[str, Any], client_names: list[str], client: Any
) -> Any:
    """Call the flow; returns its result with futures, delayed values and collections computed.

    Async flows get an asynchronous client, also below decorators that hand their coroutine on. What the
    flow raises is raised.
    """

    def begin(mine: Any) -> Any:
        return function(**arguments, **dict.fromkeys(client_names, mine))

    if client_names and is_async(function):
        return asyncio.run(_in_loop(begin, client))
    result = begin(client)
    if _is_awaitable(result):
        return asyncio.run(_in_loop(lambda _: result, client))
    return bring_home(_consumable(result), client)


async def _in_loop(begin: Callable[[Any], Any], client: Any) -> Any:
    make: Any = Client  # distributed is typed in part
    async with AsyncExitStack() as stack:
        mine = await stack.enter_async_context(
            make(client.scheduler.address, security=client.security, asynchronous=True)
        )
        result = begin(mine)
        result = await result if _is_awaitable(result) else result
        return await bring_home_async(_consumable(result), mine)


def _is_awaitable(result: Any) -> bool:
    """Futures and collections can be awaited, too, but they are results."""
    return (
        inspect.isawaitable(result) and not isinstance(result, Future) and not is_collection(result)
    )


def _consumable(result: Any) -> Any:
    if isinstance(result, GeneratorType | AsyncGeneratorType):
        raise FlowFailed(
            "the flow returned a generator, which nobody would consume",
            where=getattr(result, "__qualname__", "flow"),
            do="return a list or a value",
        )
    return result

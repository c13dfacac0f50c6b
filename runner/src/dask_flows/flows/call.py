"""Call a Python flow and bring its result home."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from dask.base import compute, is_dask_collection
from distributed import Client, Future

from dask_flows.errors import FlowFailed


def call(
    function: Callable[..., Any], arguments: dict[str, Any], client_names: list[str], client: Any
) -> Any:
    """Call the flow; returns its result with futures, delayed values and collections computed.

    Coroutine functions get an asynchronous client. What the flow raises is raised.
    """
    if inspect.iscoroutinefunction(inspect.unwrap(function)):
        result = asyncio.run(_call_async(function, arguments, client_names, client))
    else:
        result = function(**arguments, **dict.fromkeys(client_names, client))
        if inspect.isawaitable(result) and not isinstance(result, Future):
            result = asyncio.run(_await(result))
        result = client.gather(result) if _holds_futures(result) else result
    return plain(_compute(result))


async def _call_async(
    function: Callable[..., Any], arguments: dict[str, Any], client_names: list[str], client: Any
) -> Any:
    make: Any = Client  # distributed is typed in part
    async with AsyncExitStack() as stack:
        mine = await stack.enter_async_context(
            make(client.scheduler.address, security=client.security, asynchronous=True)
        )
        result = await function(**arguments, **dict.fromkeys(client_names, mine))
        # While the client is there: without it its futures are lost.
        return await mine.gather(result) if _holds_futures(result) else result


async def _await(result: Awaitable[Any]) -> Any:
    return await result


def _compute(result: Any) -> Any:
    if isinstance(result, GeneratorType | AsyncGeneratorType):
        raise FlowFailed(
            "the flow returned a generator, which nobody would consume",
            where=getattr(result, "__qualname__", "flow"),
            do="return a list or a value",
        )
    if not isinstance(result, list | tuple | dict | set) and not is_dask_collection(result):
        return result
    run: Any = compute
    (computed,) = run(result)
    return computed


def _holds_futures(value: Any) -> bool:
    """Whether there are futures in the containers that ``Client.gather`` looks into."""
    if isinstance(value, dict):
        return any(_holds_futures(one) for one in value.values())
    if isinstance(value, list | tuple | set):
        return any(_holds_futures(one) for one in value)
    return isinstance(value, Future)


def plain(value: Any) -> Any:
    """Return numbers of NumPy and pandas as Python's own, also inside lists and dictionaries."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(one) for one in value)
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        return value.item()
    return value

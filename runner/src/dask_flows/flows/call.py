"""Call a flow: plain or async, and compute what it returns."""

import asyncio
import inspect
from importlib import import_module
from typing import Any

from dask_flows.errors import BadFlow
from dask_flows.flows.load import Flow
from dask_flows.flows.parameters import client_parameters


def call(flow: Flow, arguments: dict[str, Any], client: Any) -> Any:
    """Call the flow and return its value, with Dask collections and futures computed."""
    arguments = {**dict.fromkeys(client_parameters(flow.function), client), **arguments}
    value = flow.function(**arguments)
    if inspect.iscoroutine(value):
        value = asyncio.run(_awaited(value))
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        raise BadFlow(
            "it returned a generator: nothing has run",
            where=flow.name,
            do="return a value instead of yielding",
        )
    return _computed(value, client)


async def _awaited(value: Any) -> Any:
    return await value


def _computed(value: Any, client: Any) -> Any:
    dask: Any = import_module("dask")  # loaded already, by whoever made the client
    future: Any = import_module("distributed").Future

    if isinstance(value, future):
        return value.result()
    if dask.is_dask_collection(value):
        return client.compute(value, sync=True)
    if isinstance(value, list | tuple | dict | set):
        gathered = client.gather(value) if _has_future(value, future) else value
        (computed,) = dask.compute(gathered, scheduler=client.get)
        return computed
    return value


def _has_future(value: Any, future: type) -> bool:
    items = value.values() if isinstance(value, dict) else value
    return any(isinstance(item, future) for item in items)

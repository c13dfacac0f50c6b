"""Create the objects of a request."""

import contextlib
from typing import Any

from dask_flows.errors import UsageError
from dask_flows.kube.api import Api
from dask_flows.kube.errors import AlreadyExists, KubeError, NotFound
from dask_flows.kube.resources import CONFIG_MAPS, FLOWRUNS


async def send(api: Api, objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Create them in order, the FlowRun last, and let it own its source; returns the FlowRun."""
    *sources, run = objects
    namespace = run["metadata"]["namespace"]
    for source in sources:
        await _create(api, CONFIG_MAPS, namespace, source)
    try:
        made = await _create(api, FLOWRUNS, namespace, run)
    except (KubeError, UsageError):
        for source in sources:
            with contextlib.suppress(KubeError):
                await api.delete(CONFIG_MAPS, namespace, source["metadata"]["name"])
        raise
    owner = {
        "apiVersion": made["apiVersion"],
        "kind": made["kind"],
        "name": made["metadata"]["name"],
        "uid": made["metadata"]["uid"],
    }
    for source in sources:
        patch = {"metadata": {"ownerReferences": [owner]}}
        await api.patch(CONFIG_MAPS, namespace, source["metadata"]["name"], patch)
    return made


async def _create(api: Api, resource: Any, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
    name = body["metadata"]["name"]
    try:
        return await api.create(resource, namespace, body)
    except AlreadyExists:
        raise UsageError(
            f"{resource} {name} exists already",
            where=f"namespace {namespace}",
            do="choose another --name, or leave it out",
        ) from None
    except NotFound:
        raise UsageError(
            f"the cluster knows no {resource}, or there is no namespace {namespace}",
            do="install the chart, or check --context and -n",
        ) from None

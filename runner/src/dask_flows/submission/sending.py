"""Create the objects of a request."""

import contextlib
from typing import Any

from dask_flows.errors import UsageError
from dask_flows.kube.api import Api
from dask_flows.kube.errors import AlreadyExists, KubeError, NotFound
from dask_flows.kube.resources import CONFIG_MAPS, FLOWRUNS, Resource


async def send(api: Api, objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Create a FlowRun and the source it owns; returns the FlowRun.

    A run with a source is created suspended and released when its source is there: so the source has its
    owner from the beginning, and whoever submits needs no right to change ConfigMaps.
    """
    *sources, run = objects
    namespace, name = run["metadata"]["namespace"], run["metadata"]["name"]
    if not sources:
        return await _create(api, FLOWRUNS, namespace, run)
    held = {**run, "spec": {**run["spec"], "suspend": True}}
    made = await _create(api, FLOWRUNS, namespace, held)
    try:
        for source in sources:
            await _create(api, CONFIG_MAPS, namespace, _owned(source, made))
        wanted = bool(run["spec"].get("suspend"))
        return await api.patch(FLOWRUNS, namespace, name, {"spec": {"suspend": wanted}})
    except (KubeError, UsageError):
        with contextlib.suppress(KubeError):
            await api.delete(FLOWRUNS, namespace, name)
        raise


def _owned(obj: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    owner = {
        "apiVersion": run["apiVersion"],
        "kind": run["kind"],
        "name": run["metadata"]["name"],
        "uid": run["metadata"]["uid"],
    }
    return {**obj, "metadata": {**obj["metadata"], "ownerReferences": [owner]}}


async def _create(
    api: Api, resource: Resource, namespace: str, body: dict[str, Any]
) -> dict[str, Any]:
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

"""Follow a kind of object: list, then watch, for ever. The agent's own informer is what is under test."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from dask_flows.kube.api import ADDED, BOOKMARK, DELETED, Api, Event, Object, list_all
from dask_flows.kube.errors import KubeError
from dask_flows.kube.resources import Resource

PAUSE = 0.5
WATCH_SECONDS = 300


async def follow(
    api: Api, resource: Resource, namespace: str, *, labels: str = ""
) -> AsyncGenerator[Event, None]:
    """Yield every change, after an outage also what was missed: as ADDED, or as DELETED with the name and labels."""
    known: dict[str, Object] = {}
    while True:
        try:
            page = await list_all(api, resource, namespace, labels=labels)
            present = {str(obj["metadata"]["uid"]) for obj in page.items}
            for uid in set(known) - present:
                yield Event(DELETED, known.pop(uid))
            for obj in page.items:
                known[str(obj["metadata"]["uid"])] = _brief(obj)
                yield Event(ADDED, obj)
            version = page.resource_version
            while True:
                watch = api.watch(
                    resource, namespace, resource_version=version, seconds=WATCH_SECONDS, labels=labels
                )  # fmt: skip
                async with aclosing(watch):
                    async for event in watch:
                        version = event.object["metadata"]["resourceVersion"]
                        if event.type == BOOKMARK:
                            continue
                        uid = str(event.object["metadata"]["uid"])
                        if event.type == DELETED:
                            known.pop(uid, None)
                        else:
                            known[uid] = _brief(event.object)
                        yield event
        except KubeError:
            await asyncio.sleep(PAUSE)


def _brief(obj: Object) -> Object:
    meta = obj["metadata"]
    return {"metadata": {key: meta.get(key) or {} for key in ("name", "uid", "labels")}}

"""How many objects of a kind there are at once."""

from collections.abc import Iterator
from contextlib import aclosing, contextmanager

from dask_flows.kube.api import DELETED, Api
from dask_flows.kube.resources import Resource
from kwok.follow import follow
from kwok.session import in_thread


class Census:
    """Count the objects of one kind in a namespace, by name."""

    def __init__(self, api: Api, namespace: str, resource: Resource) -> None:
        self.present: set[str] = set()
        self.ever: set[str] = set()
        self.most = 0
        self._api, self._namespace, self._resource = api, namespace, resource

    async def work(self) -> None:
        """Follow for ever."""
        async with aclosing(follow(self._api, self._resource, self._namespace)) as events:
            async for event in events:
                name = event.object["metadata"]["name"]
                if event.type == DELETED:
                    self.present.discard(name)
                else:
                    self.present.add(name)
                    self.ever.add(name)
                self.most = max(self.most, len(self.present))


@contextmanager
def census(namespace: str, resource: Resource) -> Iterator[Census]:
    """Count in a thread of its own."""
    with in_thread(namespace, lambda api: Census(api, namespace, resource), Census.work) as found:
        yield found

"""What an informer reads when it lists, where that is less than what it watches.

A watch must show everything: what leaves its selector is told as deleted, in its state from before
(apiserver, ``cacher/cache_watcher.go``). A list may leave out what nobody asks for any more.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from dask_flows.kube.api import Api, Page, pages
from dask_flows.kube.resources import Resource

T = TypeVar("T")
Rest = Callable[[Collection[str]], AsyncGenerator[Page, None]]


@dataclass(frozen=True)
class Selection:
    """Selectors in the API server's own syntax."""

    labels: str = ""
    fields: str = ""


async def _nothing(_: Collection[str]) -> AsyncGenerator[Page, None]:
    return
    yield  # makes this a generator


@dataclass(frozen=True)
class Lists(Generic[T]):
    """Selections whose lists, one after the other, have every object that is not ``unlisted``.

    ``rest`` reads those unlisted ones that are needed after all. It is given the names of the others once these have been
    taken, and may yield empty pages as signs of life. What is unlisted must stay so, since nobody compares it;
    a copy of it whose end the watch has not told is kept until everything is listed in earnest.
    """

    parts: tuple[Selection, ...]
    unlisted: Callable[[T], bool] = lambda _: False
    rest: Rest = _nothing


async def read(
    api: Api, resource: Resource, namespace: str, parts: Iterable[Selection]
) -> AsyncGenerator[Page, None]:
    """Read selections one after the other, page by page, each with its own version; raises what the API raises."""
    for part in parts:
        listed = pages(api, resource, namespace, labels=part.labels, fields=part.fields)
        async with aclosing(listed) as some:
            async for page in some:
                yield page

"""Count what is asked of the Kubernetes API, and how long the answers take.

A decorator like the others around the client: it changes no answer and no error.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol, TypeVar

from dask_flows.deadline import Clock
from dask_flows.kube.api import Api
from dask_flows.kube.errors import KubeError
from dask_flows.kube.through import Call, Through

T = TypeVar("T")
GOOD, SILENT = "2xx", "none"


class Note(Protocol):
    """Takes down one request; ``seconds`` is None for what lasts by design."""

    def __call__(self, verb: str, resource: str, code: str, seconds: float | None) -> None:
        """Take it down."""
        ...


class Counted(Through):
    """An Api that tells ``note`` of each request once it is answered; of a stream, with the first bit."""

    def __init__(self, api: Api, note: Note, clock: Clock) -> None:
        super().__init__(api)
        self._note = note
        self._clock = clock

    async def _around(self, call: Call, go: Callable[[], Awaitable[T]]) -> T:
        began = self._clock.monotonic()
        code = GOOD
        try:
            return await go()
        except KubeError as error:
            code = _code(error)
            raise
        except BaseException:  # a call that is cut off has no answer
            code = SILENT
            raise
        finally:
            self._note(call.verb, _path(call), code, self._clock.monotonic() - began)

    async def _along(self, call: Call, answers: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        noted, path = False, _path(call)
        try:
            async with aclosing(answers) as open_answers:
                async for answer in open_answers:
                    if not noted:
                        noted = True
                        self._note(call.verb, path, GOOD, None)
                    yield answer
        except KubeError as error:
            if not noted:
                self._note(call.verb, path, _code(error), None)
            raise
        if not noted:  # it ended with nothing to say
            self._note(call.verb, path, GOOD, None)


def _code(error: KubeError) -> str:
    return str(error.code) if error.code else SILENT


def _path(call: Call) -> str:
    return f"{call.resource}/{call.subresource}" if call.subresource else str(call.resource)

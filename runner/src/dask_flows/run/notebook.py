"""``dask_flows.cluster``: a cluster for a notebook or a script, for as long as it is wanted."""

import traceback
import warnings
import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dask_flows.clusters import Asked, attach
from dask_flows.clusters.custom import CLOSE_SECONDS
from dask_flows.clusters.keeper import Keeper
from dask_flows.config import Environment
from dask_flows.deadline import CONNECT_TIMEOUT, Deadline, SystemClock
from dask_flows.errors import ClusterTimeout, UsageError
from dask_flows.run.api import Output, refuse_in_workers, ui_for
from dask_flows.run.asking import ask, wanted_by
from dask_flows.run.request import Request
from dask_flows.ui import Ui

if TYPE_CHECKING:
    from distributed import Client

LATE_SECONDS = 5.0  # more than what connects has: it says better what went wrong

_OWN_FOLDER = str(Path(__file__).parents[1])


class Cluster:
    """A cluster that is there from ``start`` to ``close``, or while the context lasts.

    ``Client()``, ``get_client()`` and ``dask.compute`` use it meanwhile. One that is forgotten is closed, with
    a ResourceWarning that names where it was made.
    """

    def __init__(self, request: Request, ui: Ui) -> None:
        self._request, self._ui = request, ui
        self._place = _caller()
        self._client: Client | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None
        self._keeper: Keeper[Any] | None = None

    @property
    def client(self) -> "Client":
        """The client; raises UsageError before ``start`` and after ``close``."""
        if self._client is None:
            raise UsageError("the cluster is not started", where=self._place, do="call start()")
        return self._client

    def start(self) -> "Client":
        """Start the cluster, or connect to it; returns the client. Raises ClusterTimeout, UsageError."""
        if self._client is not None:
            return self._client
        refuse_in_workers()
        keeper: Keeper[Any] = Keeper(_opening(self._request, self._ui), "dask-flows-keeper")
        try:
            client = keeper.open(self._request.connect_timeout + LATE_SECONDS)
        except BaseException:
            keeper.close(CLOSE_SECONDS)
            raise
        if client is None:
            keeper.close(0)
            raise ClusterTimeout(
                f"no cluster within {self._request.connect_timeout:g} s",
                where=self._place,
                do="raise connect_timeout",
            )
        self._keeper, self._client = keeper, client
        self._finalizer = weakref.finalize(self, _forget, keeper, self._place)
        return self.client

    def close(self) -> None:
        """Close the client and whatever was started; a second time does nothing."""
        keeper, self._keeper, self._client = self._keeper, None, None
        if self._finalizer is not None:
            self._finalizer.detach()
        if keeper is not None and not keeper.close(CLOSE_SECONDS):
            warnings.warn(
                f"the cluster made at {self._place} did not close within {CLOSE_SECONDS:g} s",
                ResourceWarning,
                stacklevel=2,
            )

    def __enter__(self) -> "Client":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "not started" if self._client is None else "started"
        return f"<dask_flows.Cluster {self._request.mode}, {state}, made at {self._place}>"


def cluster(
    *,
    mode: str | None = None,
    address: str | None = None,
    minimum_workers: int | None = None,
    workers: int | None = None,
    threads: int | None = None,
    memory: str | None = None,
    cluster_class: str | Callable[..., Any] | None = None,
    cluster_kwargs: Mapping[str, Any] | None = None,
    adapt: tuple[int, int] | None = None,
    client_kwargs: Mapping[str, Any] | None = None,
    connect_timeout: float = CONNECT_TIMEOUT,
    output: Output = "text",
) -> Cluster:
    """Return the cluster that these options of ``dask-flows run`` choose, not started yet.

    Use it by ``with``, which gives the client, or by its methods over several cells of a notebook. Raises
    UsageError for options that contradict each other.
    """
    environment = Environment.read()
    asked = Asked(
        mode=mode,
        address=address,
        minimum_workers=minimum_workers,
        workers=workers,
        threads=threads,
        memory=memory,
        cluster_class=cluster_class,
        cluster_kwargs=cluster_kwargs,
        adapt=adapt,
    )
    request = ask(
        asked,
        environment,
        client_kwargs=client_kwargs,
        connect_timeout=connect_timeout,
        show_dashboard=True,
    )
    return Cluster(request, ui_for(output, environment))


def _opening(request: Request, ui: Ui) -> Callable[[Keeper[Any]], None]:
    """Return the work of the thread that keeps the cluster; it must not know the Cluster object."""

    def work(keeper: Keeper[Any]) -> None:
        clock = SystemClock()
        with ExitStack() as stack:
            wanted = stack.enter_context(wanted_by(request))
            deadline = Deadline(request.connect_timeout, clock)
            session = stack.enter_context(
                attach(wanted, deadline=deadline, clock=clock, say=ui.say, hear=ui.hear)
            )
            keeper.hold(session.client)

    return work


def _forget(keeper: Keeper[Any], place: str) -> None:
    """Close what nobody has closed, and say where it came from."""
    try:
        warnings.warn(f"unclosed dask_flows.cluster made at {place}", ResourceWarning, stacklevel=2)
    finally:
        keeper.close(CLOSE_SECONDS)


def _caller() -> str:
    """Return file and line of whoever is not this package."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_OWN_FOLDER):
            return f"{frame.filename}:{frame.lineno}"
    return "<unknown>"

"""A cluster of somebody else's class or factory function, made for the time of the run.

Classes differ in how they are started: in their constructor, by ``with``, by ``async with``, by ``await``.
All of it happens in one thread with a running event loop, as in a notebook, which is where such classes are
used most. So a constructor that hangs costs its time-out and no more.
"""

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from dask_flows.clusters.base import Attached, Say, Wanted
from dask_flows.clusters.connect import open_client, wait_for_workers
from dask_flows.clusters.keeper import Keeper
from dask_flows.clusters.static import CLOSE_SECONDS as CLIENT_SECONDS
from dask_flows.deadline import Deadline
from dask_flows.errors import ClusterTimeout, DaskFlowsError, UsageError

PATIENCE = 30.0
# Machines that stay because nobody waited for their end cost money; the command line gives us this time.
CLOSE_SECONDS = 30.0
ABANDON_SECONDS = 2.0  # for one that was not made in time: it closes by itself if it ever is


@dataclass(frozen=True)
class Made:
    """A cluster that is started: where its scheduler is, and how clients prove who they are."""

    address: str
    dashboard: str | None
    security: Any


class Custom:
    """Make a cluster with the run's class or function, and close it."""

    def __init__(self, wanted: Wanted) -> None:
        assert wanted.factory is not None, "the choice of a class has brought it"
        self._wanted = wanted
        self._factory: Callable[..., Any] = wanted.factory
        self._name = wanted.cluster_class

    @contextmanager
    def attached(self, deadline: Deadline, say: Say) -> Iterator[Attached]:
        """Make it, connect, wait for workers; raises ClusterTimeout, UsageError for wrong arguments."""
        wanted, keeper = self._wanted, Keeper(self._live, "dask-flows-cluster")
        say(
            f"cluster class {self._name}{wanted.told_origin}",
            mode=wanted.mode,
            cluster_class=self._name,
            origin=wanted.origin,
        )
        try:
            made = self._opened(keeper, deadline)
            options = {"security": made.security, **wanted.client_kwargs}
            client = open_client(made.address, deadline, patience=PATIENCE, options=options)
            try:
                link = f", dashboard {made.dashboard}" if made.dashboard else ""
                say(
                    f"scheduler at {made.address} ready in {deadline.elapsed:.1f} s{link}",
                    seconds=round(deadline.elapsed, 2),
                    address=made.address,
                    dashboard=made.dashboard,
                )
                wait_for_workers(client, wanted.minimum, deadline, say)
                yield Attached(client, made.address, made.dashboard, PATIENCE)
            finally:
                client.close(timeout=CLIENT_SECONDS)
        finally:
            self._close(keeper, say)

    def _opened(self, keeper: Keeper[Made], deadline: Deadline) -> Made:
        try:
            made = keeper.open(deadline.remaining())
        except DaskFlowsError:
            raise
        except (Exception, SystemExit) as error:
            raise self._explained(error) from error
        if made is not None:
            return made
        raise ClusterTimeout(
            f"{self._name} had made no cluster after {deadline.seconds:g} s",
            where="--cluster-class",
            do="raise --connect-timeout, and look whether a half-made cluster is left",
        )

    def _explained(self, error: BaseException) -> DaskFlowsError:
        wrong: BaseException | None = error
        while wrong is not None and not isinstance(wrong, TypeError):
            wrong = wrong.__cause__
        if wrong is not None and _is_of_call(wrong, self._wanted.cluster_kwargs):
            return wrong_arguments(self._name, self._factory, wrong)
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return ClusterTimeout(
            f"{self._name} made no cluster: {said}",
            where="--cluster-class",
            do="see the traceback above",
        )

    def _live(self, keeper: Keeper[Made]) -> None:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(_hold(keeper, self._factory, self._wanted))

    def _close(self, keeper: Keeper[Made], say: Say) -> None:
        was_open = keeper.is_open
        closed = keeper.close(CLOSE_SECONDS if was_open else ABANDON_SECONDS)
        if was_open and (not closed or keeper.error is not None):
            why = repr(keeper.error) if closed else f"it took more than {CLOSE_SECONDS:g} s"
            say(
                f"warning: {self._name} did not close its cluster: {why}; see whether it is still there"
            )


def check_arguments(name: str, factory: Callable[..., Any], kwargs: Mapping[str, Any]) -> None:
    """Raise UsageError for arguments that do not fit the signature, before anything is made."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return  # only calling it can tell
    try:
        signature.bind(**kwargs)
    except TypeError as error:
        raise wrong_arguments(name, factory, error) from None


def wrong_arguments(name: str, factory: Callable[..., Any], error: BaseException) -> UsageError:
    """Return the failure for a constructor that does not take what it is given."""
    try:
        takes = f"its signature is {inspect.signature(factory)}"
    except (TypeError, ValueError):
        takes = "see its documentation"
    return UsageError(
        f"{name} does not take these arguments: {error}", where="--cluster-kwargs", do=takes
    )


def _is_of_call(error: BaseException, kwargs: Mapping[str, Any]) -> bool:
    """Whether the arguments are to blame, not what the factory does with them.

    A constructor may pass its arguments on, as Dask's own do: then the fault names one of them.
    """
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is not None and innermost.tb_frame.f_code.co_filename == __file__:
        return True
    said = str(error)
    return "keyword argument" in said and any(f"'{name}'" in said for name in kwargs)


async def _hold(keeper: Keeper[Made], factory: Callable[..., Any], wanted: Wanted) -> None:
    """Make the cluster, keep it until it is not wanted any more, and close it."""
    opening = asyncio.ensure_future(_open(factory, wanted))
    # SystemExit leaves the loop at once: without this, asyncio would print that nobody asked for it.
    opening.add_done_callback(lambda task: task.cancelled() or task.exception())
    unwanted = asyncio.ensure_future(keeper.closing())
    await asyncio.wait((opening, unwanted), return_when=asyncio.FIRST_COMPLETED)
    unwanted.cancel()
    opening.cancel()  # does nothing to one that is done
    with suppress(asyncio.CancelledError):
        cluster, close = await opening
        try:
            await keeper.hold_async(_made(cluster, wanted.cluster_class))
        finally:
            async with asyncio.timeout(CLOSE_SECONDS):
                await close()


async def _open(factory: Callable[..., Any], wanted: Wanted) -> tuple[Any, Callable[[], Any]]:
    """Return the cluster, started, and what closes it."""
    before = _known()
    try:
        built = factory(**wanted.cluster_kwargs)
        if inspect.iscoroutine(built) or asyncio.isfuture(built):
            built = await built
    except BaseException:
        for half in _known() - before:
            await _within(_closer(half))
        raise
    close = _closer(built)
    try:
        cluster = await _started(built)
        await _size(cluster, wanted)
    except BaseException:
        await _within(close)
        raise
    return cluster, close


def _known() -> set[Any]:
    """Return the clusters that Dask knows in this process: also what a constructor has begun and left."""
    from distributed import SpecCluster

    return set(getattr(SpecCluster, "_instances", ()))


async def _within(close: Callable[[], Any]) -> None:
    """Close as far as that goes; the failure that led here is worth more than another one."""
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_SECONDS):
            await close()


async def _started(built: Any) -> Any:
    """Enter or await what was built, whichever it knows; returns what that gives, else the thing itself."""
    kind, entered = type(built), None
    if _is_async(built):
        if hasattr(kind, "__aenter__"):
            entered = await built.__aenter__()
        elif inspect.isawaitable(built):
            entered = await built
    elif hasattr(kind, "__enter__"):
        entered = built.__enter__()
    return built if entered is None else entered


def _closer(built: Any) -> Callable[[], Any]:
    kind = type(built)

    async def close() -> None:
        if _is_async(built) and hasattr(kind, "__aexit__"):
            await built.__aexit__(None, None, None)
        elif not _is_async(built) and hasattr(kind, "__exit__"):
            built.__exit__(None, None, None)
        elif callable(getattr(built, "close", None)):
            done = built.close()
            if inspect.isawaitable(done):
                await done

    return close


def _is_async(built: Any) -> bool:
    """Whether it must be awaited: Dask's own clusters can be either, and say so."""
    return getattr(built, "asynchronous", None) is True or not hasattr(type(built), "__enter__")


async def _size(cluster: Any, wanted: Wanted) -> None:
    """Let the cluster grow and shrink, or give it its size."""
    if wanted.adapt is None:
        return
    low, high = wanted.adapt
    if low == high and callable(getattr(cluster, "scale", None)):
        done = cluster.scale(low)
    elif callable(getattr(cluster, "adapt", None)):
        done = cluster.adapt(minimum=low, maximum=high)
    else:
        raise UsageError(
            f"clusters of {wanted.cluster_class} have no adapt()",
            where="--adapt",
            do="leave it out and say the size in --cluster-kwargs",
        )
    if inspect.isawaitable(done):
        await done


def _made(cluster: Any, name: str) -> Made:
    address = getattr(cluster, "scheduler_address", None)
    if not isinstance(address, str) or "://" not in address:
        raise UsageError(
            f"{name} gave a {type(cluster).__name__} without scheduler_address",
            where="--cluster-class",
            do="name a cluster class of Dask's kind, or a function that returns such a cluster",
        )
    link = None
    with suppress(Exception):  # it is a property, and any class may have written it
        link = getattr(cluster, "dashboard_link", None)
    return Made(address, str(link) if link else None, getattr(cluster, "security", None))

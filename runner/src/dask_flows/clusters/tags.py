"""Tell the tasks of runs apart on a shared scheduler.

Each task carries its run's tag as an annotation. Dask's own ``span`` would do the same, but it forces task
groups of the same name into the span of whoever came first, is not inherited by threads, and makes
``dask.dataframe`` warn about annotations. So clients add the tag when they send a graph, which works in
every thread and costs nothing that can be measured.
"""

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dask
from dask.base import annotate
from dask.context import thread_state

from dask_flows.clusters.coroutines import OneOf, coroutine_task, coroutines

if TYPE_CHECKING:
    from dask_flows.clusters.base import Say

ANNOTATION = "dask-flows"
TAG_KEY = "dask-flows.tag"
MODULES_KEY = "dask-flows.modules"  # in child processes: what they do about their own modules
PRELOAD = "dask_flows.clusters.client_preload"
# For programs that may have been started with another Python: without dask_flows they go untagged.
PRELOAD_TEXT = (
    f"try:\n    from {PRELOAD} import dask_setup, dask_teardown\nexcept ImportError:\n    pass\n"
)

SEND = "_graph_to_futures"  # a client's way for all graphs
TAGGED = "_dask_flows_tagged"

# They say at INFO, for each new client, that they load the preload above.
QUIET = {"distributed.preloading": "warning", "distributed.utils": "warning"}


def tag_new_clients() -> None:
    """Let every client that this process makes from now on tag its tasks."""
    preload = dask.config.get("distributed.client.preload", default=None) or []
    if PRELOAD not in preload:
        dask.config.set({"distributed.client.preload": [*preload, PRELOAD]})
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level.upper())


def tag_all_clients() -> None:
    """Let every client of this process tag the tasks that tasks send, from its first moment.

    On a worker two tasks may ask for its client at once: one makes it, and the other gets it before it has
    loaded any preload.
    """
    from distributed import Client

    if not hasattr(getattr(Client, SEND, None), TAGGED):
        _tag(Client, _tag_of_current_task)


def tag_client(client: Any) -> None:
    """Let a client tag its tasks; one whose version of Dask works otherwise stays as it is."""
    _tag(client, current_tag)


def _tag(holder: Any, find: Callable[[], str | None]) -> None:
    send = getattr(holder, SEND, None)
    if send is None:
        return

    @functools.wraps(send)
    def tagged(*args: Any, **kwargs: Any) -> Any:
        tag = find()
        if tag is None:
            return send(*args, **kwargs)
        with annotate(**{ANNOTATION: tag}):
            return send(*args, **kwargs)

    setattr(tagged, TAGGED, True)
    setattr(holder, SEND, tagged)  # there is no hook


def tell_untagged(client: Any, say: "Say") -> None:
    """Say what a run goes without if its client cannot tag tasks."""
    if not hasattr(client, SEND):
        say(
            "warning: this version of Dask does not let the run mark its tasks: they are not counted, and on a "
            "shared cluster what they print is not shown; use the version that the release has",
            event="environment",
        )


def current_tag() -> str | None:
    """Return the tag of the task that this thread runs, else the one of this process."""
    if (of_task := _tag_of_current_task()) is not None:
        return of_task
    tag = dask.config.get(TAG_KEY, None)
    return None if tag is None else str(tag)


def _tag_of_current_task() -> str | None:
    task = current_task()
    return None if task is None else task_tag(*task)


def current_task() -> tuple[Any, Any] | None:
    """Return the worker and the key (or ``OneOf`` some) of the task that runs here; None outside of tasks."""
    key = getattr(thread_state, "key", None)
    if key is None:
        return coroutine_task(task_tag)
    state = getattr(thread_state, "execution_state", None) or {}
    worker = state.get("worker")
    return None if worker is None else (worker, key)


def task_tag(worker: Any, key: Any) -> str | None:
    """Return the tag of a task that the worker runs."""
    if isinstance(key, OneOf):
        return key.tag
    tag = tag_of(worker.state.tasks.get(key))
    return None if tag is None else str(tag)


def still_runs(worker: Any, key: Any) -> bool:
    """Whether the worker still runs the task."""
    if isinstance(key, OneOf):
        return any(task_tag(worker, one) == key.tag for one in coroutines(worker))
    return key in worker.active_keys


def tag_of(task: Any) -> Any:
    """Return the tag in a task's state, the scheduler's or a worker's; None without a tag or a task."""
    return None if task is None else (task.annotations or {}).get(ANNOTATION)

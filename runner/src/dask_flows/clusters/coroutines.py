"""Know the tasks that are coroutines: they run on the worker's event loop, where no thread is theirs.

Dask sets a context variable with the worker around each, which their threads (``asyncio.to_thread``) and inner
asyncio tasks inherit, and names the asyncio task after the key; the inner ones have names of their own.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from distributed import worker as _worker

_CURRENT: Any = getattr(
    _worker, "_worker_cvar", None
)  # absent in other releases: then nothing is known


@dataclass(frozen=True)
class OneOf:
    """Stands for the key of a coroutine of the run with this tag: which one is not known."""

    tag: str | None


def coroutine_task(tag_of: Callable[[Any, Any], str | None]) -> tuple[Any, Any] | None:
    """Return the worker and the key of the coroutine that runs here; None outside of them.

    Where the key cannot be known it is a :class:`OneOf`, if all coroutines on the worker are of one run,
    which ``tag_of(worker, key)`` tells.
    """
    worker = _CURRENT.get(None) if _CURRENT is not None else None
    if worker is None:
        return None
    keys, name = coroutines(worker), _name()
    for key in keys:
        if name == f"execute({key!r})":
            return worker, key
    runs = {tag_of(worker, key) for key in keys}
    return (worker, OneOf(runs.pop())) if len(runs) == 1 else None


def coroutines(worker: Any) -> list[Any]:
    """Return the keys of the coroutines that the worker runs."""
    return [key for key in tuple(worker.active_keys) if _is_coroutine(worker, key)]


def _is_coroutine(worker: Any, key: Any) -> bool:
    task = worker.state.tasks.get(key)
    return bool(getattr(getattr(task, "run_spec", None), "is_coro", False))


def _name() -> str | None:
    """Return the name of the asyncio task that runs here; None in threads."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return task.get_name() if task is not None else None

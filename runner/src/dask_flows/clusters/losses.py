"""Say in words how workers were lost and what that cost a run. Plain data in, text out."""

from collections.abc import Mapping
from typing import Any, Protocol

NEAR_LIMIT = 0.8  # of its memory: a worker that vanishes from there has most likely run out of it

Facts = Mapping[str, Any]  # as ``accidents`` sends them


class Known(Protocol):
    """Remembers lost workers."""

    def last(self, name: str | None = None) -> Facts | None:
        """Return the facts of the last one, or of the last one with this name."""
        ...


def tell_lost(facts: Facts) -> str:
    """Say which worker was lost, what it ran, and what is known of its memory."""
    name, memory, limit = facts["name"], facts["memory"], facts["limit"]
    tasks = ", ".join(facts["tasks"]) + (f" and {facts['more']} more" if facts["more"] else "")
    while_ = f" while it ran {tasks}" if tasks else ""
    if facts["ended"]:
        told = (
            f"{name} was ended at {memory / max(1, limit) * 100:.0f} % of its {size(limit)}{while_}"
        )
    else:
        told = f"{name} was lost{while_}"
        if memory and limit:
            told += f"; it last used {size(memory)} of its {size(limit)}"
            told += ", so most likely it ran out of memory" if short_of_memory(facts) else ""
    if facts["results"]:
        told += f"; results that it held are computed again ({facts['results']})"
    return told


def short_of_memory(facts: Facts) -> bool:
    """Whether a lost worker has, as far as anybody knows, run out of memory."""
    limit = facts["limit"]
    return bool(facts["ended"] or (limit and facts["memory"] / limit >= NEAR_LIMIT))


def tell_killed(error: BaseException, known: Known | None) -> tuple[str, str]:
    """Say what Dask's KilledWorker says, and what to do; ``known`` remembers how workers ended."""
    task, worker = getattr(error, "task", None), getattr(error, "last_worker", None)
    failures = getattr(error, "allowed_failures", None)
    if not isinstance(failures, int):
        return f"KilledWorker: {error}", "see the log of its workers"
    name, limit = display(worker), int(getattr(worker, "memory_limit", 0) or 0)
    count = f"{failures + 1} workers" if failures else "1 worker"
    found = f"KilledWorker: {count} ended while running task {task}; the last"
    last = known.last(name) if known is not None else None
    if last is not None:
        found += f": {tell_lost(last)}"
    else:
        found += f" was {name}" + (f" with a memory limit of {size(limit)}" if limit else "")
    if last is not None and short_of_memory(last):
        return found, (
            "give workers more memory or fewer threads, or split the data so that a task needs less"
        )
    return found, (
        f"see the log of {name}; if it ran out of memory, give workers more, or split the data"
    )


def tell_starved(error: BaseException) -> str:
    """Say what Dask's NoWorkerError and NoValidWorkerError say: no worker took a task in time."""
    task, seconds = getattr(error, "task", None), getattr(error, "timeout", None)
    waited = (
        f"task {task} has waited {seconds:g} s" if isinstance(seconds, float | int) else str(error)
    )
    if asked := restrictions(error):
        return f"{waited} for a worker that fits it, and there is none: it asks for {asked}"
    return f"{waited} for a worker, and there is none"


def restrictions(error: BaseException) -> str:
    """Return what a task asks of its worker, as Dask's NoValidWorkerError tells; empty if any will do."""
    wishes = {
        "resources": getattr(error, "resource_restrictions", None),
        "workers": getattr(error, "worker_restrictions", None),
        "hosts": getattr(error, "host_restrictions", None),
    }
    return ", ".join(f"{what} {wish}" for what, wish in wishes.items() if wish)


def display(worker: Any) -> str:
    """Name the worker of one of Dask's states."""
    from dask_flows.clusters.output import display_name

    name = getattr(worker, "name", None)
    return display_name(getattr(worker, "address", worker) if name is None else name)


def size(number: float) -> str:
    """Write a number of bytes as people do."""
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number:.0f} B"

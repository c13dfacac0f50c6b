"""A cluster on this machine for the time of the run, as large as the machine or container allows."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from math import inf
from typing import Any

from dask_flows.clusters.base import Attached, Say, Wanted
from dask_flows.clusters.connect import wait_for_workers
from dask_flows.clusters.settings import with_settings
from dask_flows.clusters.worker_preload import LOCAL_KEY
from dask_flows.deadline import Deadline
from dask_flows.errors import UsageError

PRELOAD = "dask_flows.clusters.worker_preload"
CLOSE_SECONDS = 1.0
LONGEST_CONNECT = 60.0  # seconds; the scheduler is in this process


class Local:
    """Start worker processes here."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    @contextmanager
    def attached(self, deadline: Deadline, say: Say) -> Iterator[Attached]:
        """Start scheduler and workers; raises ClusterTimeout, UsageError for a size that is none."""
        from distributed import Client

        connect: Any = Client  # distributed is typed in part
        workers, threads = sizes(self._wanted)
        say(
            f"cluster local: {counted(workers, 'worker')} with {counted(threads, 'thread')} each"
            f"{self._wanted.told_origin}",
            mode="local",
            origin=self._wanted.origin,
            workers=workers,
            threads=threads,
        )
        show = self._wanted.show_dashboard and find_spec("bokeh") is not None
        settings = {
            LOCAL_KEY: True,  # worker processes inherit it
            "distributed.scheduler.no-workers-timeout": f"{self._wanted.workers_timeout}s",
        }
        seconds = max(1.0, min(deadline.remaining(), LONGEST_CONNECT))
        with (
            with_settings(settings),
            self._cluster(workers, threads, show=show) as cluster,
            connect(cluster, timeout=seconds, **self._wanted.client_kwargs) as client,
        ):
            link = cluster.dashboard_link if show else None
            say(
                f"scheduler ready in {deadline.elapsed:.1f} s"
                + (f", dashboard {link}" if link else ""),
                seconds=round(deadline.elapsed, 2),
                dashboard=link,
            )
            try:
                wait_for_workers(client, min(self._wanted.minimum, workers), deadline, say)
                yield Attached(client, cluster.scheduler_address, link, inf)
            finally:
                cluster.sync(_close_workers, cluster)

    def _cluster(self, workers: int, threads: int, *, show: bool) -> Any:
        from distributed import LocalCluster

        start: Any = LocalCluster
        return start(
            n_workers=workers,
            threads_per_worker=threads,
            dashboard_address="127.0.0.1:0" if show else None,
            # Without a dashboard it would try 8787, and complain where another run has that.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            preload=[PRELOAD],
            **self._memory(),
        )

    def _memory(self) -> dict[str, Any]:
        if self._wanted.memory is None:
            return {}
        from dask.utils import parse_bytes

        try:
            return {"memory_limit": parse_bytes(self._wanted.memory)}
        except ValueError:
            raise UsageError(
                f"{self._wanted.memory!r} is not an amount of memory",
                where="--memory",
                do="write it like 512MiB or 2GiB; it is for each worker",
            ) from None


async def _close_workers(cluster: Any) -> None:
    """Close the workers without waiting long for tasks that still run: nobody wants them any more."""
    nannies = cluster.workers.values()
    await asyncio.gather(*(nanny.close(timeout=CLOSE_SECONDS) for nanny in nannies))


def sizes(wanted: Wanted) -> tuple[int, int]:
    """Return workers and threads of each; Dask counts the cores that the cgroup allows."""
    from dask.system import CPU_COUNT
    from distributed.deploy.utils import nprocesses_nthreads

    for flag, value in (("--workers", wanted.workers), ("--threads", wanted.threads)):
        if value is not None and value < 1:
            raise UsageError(f"{flag} is {value}", where=flag, do="give 1 or more")
    if wanted.workers is None and wanted.threads is None:
        split: Any = nprocesses_nthreads
        workers, threads = split(CPU_COUNT)
        return int(workers), int(threads)
    if wanted.workers is None:
        return max(1, CPU_COUNT // (wanted.threads or 1)), wanted.threads or 1
    return wanted.workers, wanted.threads or max(1, CPU_COUNT // wanted.workers)


def counted(number: int, noun: str) -> str:
    """Write ``1 worker`` or ``2 workers``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

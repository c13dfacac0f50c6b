"""Keep tasks from workers that join while a run is on and do not fit it.

On the scheduler, a worker that joins is asked what it has before it gets its first task. One that is held
waits, without tasks of anybody, until the runs that hold it have ended: a task of Dask goes to any worker that
runs, and only the scheduler's own view of the worker decides about that. So a run may hold whatever does not
fit it on a cluster of its own; on a shared one only what does not fit the scheduler, and with it nobody.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distributed import SchedulerPlugin
from distributed.core import Status

from dask_flows.clusters.output import display_name
from dask_flows.clusters.versions import ask_workers, installed_here
from dask_flows.compatibility import Needs, fatal, read_versions

log = logging.getLogger("distributed.scheduler")

HANDLER = "dask_flows_guard"
TOPIC = "dask-flows-gate"
_STATUS = "worker-status-change"


@dataclass(frozen=True)
class Guarded:
    """A run whose client has said what it needs."""

    tag: str
    needs: Needs
    shared: bool


class Gate(SchedulerPlugin):
    """Holds workers; clients say what their run needs with the RPC ``dask_flows_guard``."""

    name = "dask-flows-gate"
    idempotent = True

    def __init__(self) -> None:
        self._scheduler: Any = None
        self._change: Any = None
        self._guarded: dict[str, Guarded] = {}  # by client
        self._held: dict[str, set[str]] = {}  # worker → clients; empty while the worker is asked
        self._ready: set[str] = set()  # held workers that say they can run
        self._asking: set[asyncio.Task[None]] = set()  # asyncio itself keeps no reference

    async def start(self, scheduler: Any) -> None:
        """Stand between the workers' status and the scheduler."""
        self._scheduler = scheduler
        self._change = scheduler.stream_handlers[_STATUS]
        scheduler.stream_handlers[_STATUS] = self._changed
        scheduler.handlers[HANDLER] = self.guard

    def guard(self, who: str, tag: str, needs: Mapping[str, Any], *, shared: bool) -> str:
        """Take what a client's run needs, until the client leaves; others may be on a ``shared`` cluster."""
        self._guarded[who] = Guarded(tag, Needs(**needs), shared)
        return "OK"

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Hold a worker that joins during a run until it is known to fit."""
        if not self._guarded:
            return
        self._held[worker] = set()
        if scheduler.workers[worker].status == Status.running:  # as releases before 2022 join
            self._ready.add(worker)
            self._tell(worker, Status.init.name)
        asking = asyncio.get_running_loop().create_task(self._judge(worker))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:  # noqa: ARG002
        """Forget a worker that has left."""
        self._held.pop(worker, None)
        self._ready.discard(worker)

    def remove_client(self, scheduler: Any, client: str) -> None:  # noqa: ARG002 - Dask's signature
        """Let the workers in that only this client's run has kept out."""
        if self._guarded.pop(client, None) is None:
            return
        for worker, clients in list(self._held.items()):
            if client in clients:
                clients.discard(client)
                self._admit(worker)

    async def _judge(self, worker: str) -> None:
        """Ask a worker, tell the runs that it does not fit, or let it in."""
        clients = self._held[worker]
        try:
            await self._compare(worker, clients)
        except Exception:  # whatever goes wrong here must not cost the cluster a worker
            log.exception("cannot tell whether worker %s fits", worker)
        finally:
            if self._held.get(worker) is clients:
                self._admit(worker)

    async def _compare(self, worker: str, clients: set[str]) -> None:
        scheduler = self._scheduler
        state = scheduler.workers.get(worker)
        if state is None:
            return
        imported = {
            name: module
            for run in self._guarded.values()
            for name, module in run.needs.imported.items()
        }
        answers = await ask_workers(scheduler.broadcast, imported, [worker]) or {}
        # A worker that does not answer has at least said what Dask asks all that join.
        told = answers.get(worker) or read_versions({"packages": state.versions.get("packages")})
        name = display_name(state.name)
        foreign = bool(fatal(Needs(runner=installed_here(())).compare(None, {name: told})))
        for client, run in self._guarded.items():
            if rows := fatal(run.needs.compare(None, {name: told})):
                held = foreign or not run.shared
                if held:
                    clients.add(client)
                facts = {"name": name, "rows": [row.told for row in rows], "held": held}
                scheduler.log_event(TOPIC, {"tag": run.tag, **facts})

    def _admit(self, worker: str) -> None:
        if self._held[worker]:
            return
        del self._held[worker]
        if worker in self._ready:
            self._ready.discard(worker)
            self._tell(worker, Status.running.name)

    def _tell(self, worker: str, status: str) -> None:
        stimulus = f"{self.name}-{worker}"
        self._scheduler.handle_worker_status_change(status, worker, stimulus)

    def _changed(self, status: str, worker: str, stimulus_id: str) -> None:
        """Pass a worker's status on, unless it is held: then it must not run."""
        if worker in self._held:
            if status == Status.running.name:
                self._ready.add(worker)
                return
            self._ready.discard(worker)
        self._change(status=status, worker=worker, stimulus_id=stimulus_id)

"""The client's side of recording a run: ask the scheduler, or watch it from outside if it cannot record."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dask_flows.clusters.connect import rpc
from dask_flows.clusters.output import display_name
from dask_flows.clusters.timeline import Samples

if TYPE_CHECKING:
    from dask_flows.clusters.session import Session

DASK_REPORT_SECONDS = 30.0


class Record:
    """The record of a session; what it returns is plain data, in the form of ``recorded.Recorded``."""

    def __init__(self, session: "Session") -> None:
        self._session, self._tag = session, session.wanted.tag
        self._recorded = False
        self._outside = _Outside()
        self._began = 0.0

    def begin(self) -> dict[str, Any] | None:
        """Let the scheduler record; one that cannot is watched. Returns the record as it begins."""
        from distributed.metrics import time

        from dask_flows.clusters.recorder import Recorder

        self._began = time()
        try:
            self._session.client.register_plugin(Recorder())
        except Exception:  # noqa: BLE001 - an outside scheduler may lack this package or refuse pickles
            return self.read()
        begun = self._ask("begin")
        self._recorded = begun is not None
        if self._can_report:
            self._rpc("get_task_stream", start=0, stop=0)  # from here on the scheduler keeps tasks
        return begun or self.read()

    def read(self) -> dict[str, Any] | None:
        """Return the record so far; None if the scheduler does not answer."""
        if self._recorded:
            return self._ask("read")
        return self._outside.look(self._rpc("identity", n_workers=-1))

    def end(self) -> dict[str, Any] | None:
        """Return the record for the last time; the scheduler forgets it."""
        return self._ask("end") if self._recorded else self.read()

    def dask_report(self, title: str) -> str | None:
        """Return Dask's own performance report as HTML; None where there is none."""
        client = self._session.client
        if not self._can_report or client.status != "running":
            return None
        try:
            call = client.scheduler.performance_report
            made = client.sync(
                call, start=self._began, last_count=0, code=title, mode="inline",
                callback_timeout=DASK_REPORT_SECONDS,
            )  # fmt: skip
        except Exception:  # noqa: BLE001 - it is an extra, whatever goes wrong
            return None
        return made if isinstance(made, str) else None

    @property
    def _can_report(self) -> bool:
        """On a shared scheduler it would show other people's tasks, and stall them while it is drawn."""
        return not self._session.wanted.shared and find_spec("bokeh") is not None

    def _ask(self, step: str) -> dict[str, Any] | None:
        from dask_flows.clusters.recorder import HANDLER

        told = self._rpc(HANDLER, step=step, tag=self._tag)
        return told if isinstance(told, dict) else None

    def _rpc(self, name: str, **arguments: Any) -> Any:
        return rpc(self._session.client, name, **arguments)


class _Outside:
    """What ``identity`` tells of the workers of any scheduler, kept in the recorder's form."""

    def __init__(self) -> None:
        self._samples = Samples()
        self._workers: dict[str, dict[str, Any]] = {}

    def look(self, identity: Any) -> dict[str, Any] | None:
        """Add a look; returns all so far."""
        from distributed.metrics import time

        if not isinstance(identity, dict):
            return None
        now, states = time(), identity.get("workers") or {}
        sums = [self._see(address, state) for address, state in states.items()]
        totals = [sum(column) for column in zip(*sums, strict=True)] or [0.0] * 5
        self._samples.add([now, len(states), *totals])
        return {"now": now, "workers": list(self._workers.values()), "samples": self._samples.rows}

    def _see(self, address: str, state: dict[str, Any]) -> list[float]:
        metrics = state.get("metrics") or {}
        process = metrics.get("memory") or 0
        spilled = (metrics.get("spilled_bytes") or {}).get("disk") or 0
        busy = (metrics.get("task_counts") or {}).get("executing") or 0
        worker = self._workers.setdefault(address, {"name": display_name(state.get("name"))})
        worker["threads"], worker["limit"] = (
            state.get("nthreads") or 0,
            state.get("memory_limit") or 0,
        )
        worker["peak"] = max(worker.get("peak", 0), process)
        worker["spilled"] = max(worker.get("spilled", 0), spilled)
        managed = min(process, metrics.get("managed_bytes") or 0)
        return [worker["threads"], busy, process, managed, spilled]

"""Watch a run's cluster while the flow runs: is the scheduler there, how far are the tasks."""

import threading
from typing import TYPE_CHECKING

from dask_flows.run.status import Status
from dask_flows.run.stopping import Stopper, cause_of
from dask_flows.ui import Ui

if TYPE_CHECKING:
    from dask_flows.clusters.session import Session

LOOK_SECONDS = 0.5
ASK_EVERY = 4  # looks; asking costs the scheduler a little


class Monitor:
    """A thread that looks after the cluster; a context for the time that the flow runs.

    It works also while the flow hangs in ``result()``: a lost scheduler stops the run.
    """

    def __init__(self, session: "Session", status: Status, stopper: Stopper, ui: Ui) -> None:
        self._session, self._status, self._stopper, self._ui = session, status, stopper, ui
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="dask-flows-monitor", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _watch(self) -> None:
        looks = 0
        while not self._ended.wait(LOOK_SECONDS):
            if lost := self._session.look():
                self._stopper.stop(cause_of("SchedulerLost", lost))
                return
            if looks % ASK_EVERY == 0:
                self._ask()
            looks += 1

    def _ask(self) -> None:
        session = self._session
        tasks = session.tasks()
        self._status.learn(session.workers(), tasks, session.scaling())
        if tasks is not None and tasks.total and not self._ended.is_set():
            self._ui.progress(tasks.done, tasks.total, failed=tasks.failed)

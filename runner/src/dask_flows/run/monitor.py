"""Watch a run's cluster while the flow runs: is it there, how far are the tasks, what befalls its workers."""

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from dask_flows.errors import DaskFlowsError
from dask_flows.run.cause import cause_of
from dask_flows.run.status import Status
from dask_flows.run.stopping import Stopper
from dask_flows.ui import Ui

if TYPE_CHECKING:
    from dask_flows.clusters.session import Session

LOOK_SECONDS = 0.5
ASK_EVERY = 4  # looks; asking costs the scheduler a little
ASK_SECONDS = 15.0  # the most that it takes: some questions of 2 s each


class Monitor:
    """A thread that looks after the cluster; a context for the time that the flow runs.

    It works also while the flow hangs in ``result()``: a lost scheduler stops the run.
    """

    def __init__(self, session: "Session", status: Status, stopper: Stopper, ui: Ui) -> None:
        self._session, self._status, self._stopper, self._ui = session, status, stopper, ui
        self._ended = threading.Event()
        self._telling = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="dask-flows-monitor", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        with self._telling:
            self._say_news()  # what befell a worker a moment ago may be why the flow failed
            self._ended.set()  # from now on the outcome has the word

    def _watch(self) -> None:
        looks, planned = 0, LOOK_SECONDS
        while not self._ended.wait(LOOK_SECONDS):
            asks = looks % ASK_EVERY == 0
            with suppress(Exception):  # a strange answer must not end the watch
                if lost := self._turn(planned, asks=asks):
                    self._stopper.stop(cause_of(lost.reason, str(lost)))
                    return
            planned = LOOK_SECONDS + (ASK_SECONDS if asks else 0)
            looks += 1

    def _turn(self, planned: float, *, asks: bool) -> DaskFlowsError | None:
        lost = self._session.look(planned)
        if lost is None and asks and self._session.lookout.answers:
            lost = self._ask()
        self._tell()
        return lost

    def _ask(self) -> DaskFlowsError | None:
        session = self._session
        tasks = session.tasks()
        workers, lost = session.lookout.ask(tasks)
        self._status.learn(workers, tasks, session.scaling())
        if not self._ended.is_set():
            done, total, failed = (tasks.done, tasks.total, tasks.failed) if tasks else (0, 0, 0)
            self._ui.progress(done, total, failed=failed, workers=workers)
        return lost

    def _tell(self) -> None:
        with self._telling:
            if not self._ended.is_set():
                self._say_news()

    def _say_news(self) -> None:
        for line in self._session.lookout.news():
            self._ui.say(line, event="cluster")

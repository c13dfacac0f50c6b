"""Who a run lives with: a process of its own, or a program that goes on afterwards."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from dask_flows.layers import only_run
from dask_flows.run.cause import Cause
from dask_flows.run.ending import Ending
from dask_flows.run.stopping import Stopper

if TYPE_CHECKING:
    from dask_flows.clusters.session import Session
    from dask_flows.run.status import Status

LastWords = Callable[[Cause, float], None]


class Host:
    """A process that is there for the run alone: what ``dask-flows run`` is."""

    alone = True

    def __init__(self, close_seconds: float | None = None) -> None:
        self._close_seconds = close_seconds

    def turn(self) -> AbstractContextManager[None]:
        """Be the only run of the process; raises UsageError if there is another."""
        return only_run()

    def stopper(self, last_words: LastWords) -> Stopper:
        """Return what stops the run; it may end the process."""
        return Stopper(last_words, close_seconds=self._close_seconds)

    def attached(self, session: "Session") -> None:
        """Learn that the run has its cluster."""

    def ended(
        self,
        ending: Ending,
        raised: BaseException | None,
        session: "Session | None",
        status: "Status",
        seconds: float,
    ) -> None:
        """Learn how the run ended, with its result as it is, before the cluster is closed."""


class PatientHost(Host):
    """A process whose cluster costs money until it is closed: an interruption waits for that."""

    def stopper(self, last_words: LastWords) -> Stopper:
        """Return what gives the closing its time, whatever came before."""
        return Patient(last_words, close_seconds=self._close_seconds)


class Patient(Stopper):
    """Gives the closing all of its time, also to a run that was interrupted."""

    def closing(self) -> None:
        """Say that the outcome is delivered; a signal from here on ends the wait."""
        self.close_in_time()

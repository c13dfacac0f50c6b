"""Deliver a run's outcome: to the agent, and to the container's termination message."""

import threading
from pathlib import Path

from dask_flows.channel import Channel
from dask_flows.config import AttemptSpec, Environment
from dask_flows.outcome import Outcome
from dask_flows.run.ending import Ending

TERMINATION_LOG = Path("/dev/termination-log")
FINISH_SECONDS = 10.0


class Reporter:
    """Builds the record and delivers it once; without an attempt there is nobody to tell."""

    def __init__(
        self,
        attempt: AttemptSpec | None,
        channel: Channel | None,
        environment: Environment,
        *,
        termination_log: Path = TERMINATION_LOG,
    ) -> None:
        self._attempt, self._channel, self._environment = attempt, channel, environment
        self._termination_log = termination_log
        self._lock = threading.Lock()
        self._outcome: Outcome | None = None
        self._told = threading.Lock()

    def record(
        self, ending: Ending, *, workers: int = 0, times: dict[str, str] | None = None
    ) -> None:
        """Write the record into the termination message; the first one counts."""
        with self._lock:
            if self._attempt is None or self._outcome is not None:
                return
            self._outcome = Outcome(
                uid=self._attempt.uid,
                attempt=self._attempt.attempt,
                outcome=ending.outcome,
                reason=ending.reason,
                message=ending.message,
                exit_code=ending.exit_code,
                pod_uid=self._environment.pod_uid,
                exception=ending.exception,
                result=ending.result,
                workers=workers,
                times=times or {},
            )
            self._write(self._outcome)

    def deliver(
        self,
        ending: Ending,
        *,
        workers: int = 0,
        times: dict[str, str] | None = None,
        seconds: float = FINISH_SECONDS,
    ) -> None:
        """Tell the agent within so many seconds, once; records first what is not recorded yet."""
        self.record(ending, workers=workers, times=times)
        if self._outcome is None or not self._told.acquire(blocking=False):
            return
        if self._channel is not None and seconds > 0:
            self._channel.finish(self._outcome, seconds)

    def _write(self, outcome: Outcome) -> None:
        # The kubelet makes the file; where it is missing nobody would read it.
        try:
            if self._termination_log.exists():
                self._termination_log.write_text(outcome.to_json())
        except OSError:
            return  # the agent hears it by the channel

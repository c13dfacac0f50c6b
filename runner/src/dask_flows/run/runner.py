"""The life of one run.

The order is chosen so that mistakes show early: the agent's leave comes before any of the user's code is
imported, the flow is imported and its parameters are checked before anybody waits for workers, and the
outcome is delivered before the cluster is closed.
"""

import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dask_flows.channel import Channel, Heart, Stop
from dask_flows.clusters import Wanted, attach
from dask_flows.config import Environment
from dask_flows.deadline import Clock, Deadline, timestamp
from dask_flows.errors import BadParameters
from dask_flows.flows.load import load
from dask_flows.flows.parameters import bind
from dask_flows.flows.source import unpack
from dask_flows.names import run_tag
from dask_flows.run.conclusion import show, with_result
from dask_flows.run.ending import Ending, failure, stopped, success
from dask_flows.run.limit import Limit
from dask_flows.run.monitor import Monitor
from dask_flows.run.report import FINISH_SECONDS, Reporter
from dask_flows.run.request import Request
from dask_flows.run.status import CLOSING, CLUSTER, RUNNING, Status
from dask_flows.run.stopping import Cause, Stopped, Stopper, cause_of
from dask_flows.ui import Ui

if TYPE_CHECKING:
    from dask_flows.clusters.session import Session

SCALING_BEAT, QUIET_BEAT = 2.0, 10.0  # seconds

Program = Callable[["Session"], Any]


def run(
    request: Request,
    ui: Ui,
    environment: Environment,
    clock: Clock,
    *,
    on_outcome: Callable[[int], None] = lambda _: None,
) -> int:
    """Run it; returns the exit code. ``on_outcome`` hears the code before the cluster is closed.

    Raises UsageError only for an attempt whose token cannot be read: then there is nobody to report to.
    """
    attempt = request.attempt
    channel = None
    if attempt is not None:
        channel = Channel(attempt, environment.pod_uid, environment.pod_name, clock)
    one = _Run(request, ui, environment, clock, channel=channel, on_outcome=on_outcome)
    with ui.capturing():
        return one.to_its_end()


class _Run:
    """One run and what its steps share."""

    def __init__(
        self,
        request: Request,
        ui: Ui,
        environment: Environment,
        clock: Clock,
        *,
        channel: Channel | None,
        on_outcome: Callable[[int], None],
    ) -> None:
        self._request, self._ui, self._environment, self._clock = request, ui, environment, clock
        self._channel, self._on_outcome = channel, on_outcome
        self._reporter = Reporter(request.attempt, channel, environment)
        self._status = Status()
        self._stopper = Stopper(self._last_words)
        self._limit = Limit(self._stopper, clock)
        self._since = Deadline(None, clock)
        self._heart: Heart | None = None
        self._times: dict[str, str] = {}
        self._exit_code: int | None = None

    def to_its_end(self) -> int:
        """Go through all steps; returns the exit code."""
        self._stamp("start")
        with self._stopper:
            try:
                with ExitStack() as stack:
                    self._begin(stack)
                    program = self._prepare(stack)
                    session = self._connect(stack)
                    self._conclude(self._flow(program, session), session)
            except BaseException as error:  # noqa: BLE001 - also what sys.exit in a flow's module raises
                if self._exit_code is None:
                    self._conclude(self._failure(error, None), None)
        assert self._exit_code is not None, "every way to here has concluded"
        return self._exit_code

    def _begin(self, stack: ExitStack) -> None:
        """Get the agent's leave, then beat and count the time."""
        deadline = self._request.deadline
        if self._channel is not None:
            deadline = self._channel.start(Deadline(self._request.connect_timeout, self._clock))
            elastic = self._request.minimum < self._request.maximum
            self._heart = Heart(
                self._channel,
                self._status.beat,
                self._on_stop,
                on_deadline=self._limit.set,
                wait_seconds=SCALING_BEAT if elastic else QUIET_BEAT,
            )
            self._heart.start()
            stack.callback(self._heart.stop)
            self._warn_about_environment()
        self._limit.set(deadline)
        stack.callback(self._limit.end)

    def _prepare(self, stack: ExitStack) -> Program:
        """Find the flow and check its parameters, while the cluster may still be starting."""
        request = self._request
        folder = unpack(request.archive, request.folder) if request.archive else request.folder
        if request.flow is None:
            return self._command(request.command or (), folder)
        from dask_flows.flows.call import call

        flow = stack.enter_context(load(request.flow, folder))
        arguments, clients = bind(request.flow, flow.function, request.parameters)
        return lambda session: call(flow.function, arguments, clients, session.client)

    def _command(self, words: Sequence[str], folder: Path) -> Program:
        from dask_flows.clusters.defaults import child_environment
        from dask_flows.flows.command import check_command, run_command

        check_command(words, folder, self._environment.variables.get("PATH"))
        if self._request.parameters:
            raise BadParameters(
                "a command takes no parameters", where=self._request.name, do="write them behind it"
            )
        hear = self._ui.output if self._ui.pipes_commands else None

        def program(session: "Session") -> None:
            own = child_environment(session.attached.address, session.wanted.tag)
            environment = {**self._environment.variables, **own}
            run_command(words, folder=folder, environment=environment, hear=hear)

        return program

    def _connect(self, stack: ExitStack) -> "Session":
        request, attempt = self._request, self._request.attempt
        uid, number = (attempt.uid, attempt.attempt) if attempt else (str(uuid.uuid4()), 1)
        wanted = Wanted(
            mode=request.mode,
            tag=run_tag(uid, number),
            address=request.address,
            dashboard=request.dashboard,
            minimum=request.minimum,
            maximum=request.maximum,
            workers=request.workers,
            threads=request.threads,
            memory=request.memory,
            show_dashboard=request.show_dashboard,
            equip=attempt is None,
        )
        deadline = Deadline(request.connect_timeout, self._clock)
        return stack.enter_context(
            attach(wanted, deadline=deadline, clock=self._clock, say=self._say, hear=self._ui.hear)
        )

    def _flow(self, program: Program, session: "Session") -> Ending:
        """Run the flow itself; never raises what it raises."""
        self._stamp("running")
        self._say(f"running {self._request.name}", phase=RUNNING)
        try:
            with Monitor(session, self._status, self._stopper, self._ui), self._ui.live():
                result = program(session)
        except BaseException as error:  # noqa: BLE001 - whatever a flow raises is its outcome
            return self._failure(error, session)
        return success(result)

    def _failure(self, error: BaseException, session: "Session | None") -> Ending:
        cause = self._stopper.cause
        if cause is not None:
            return stopped(cause)
        if isinstance(error, Stopped | KeyboardInterrupt):
            return stopped(cause_of("Cancelled", "interrupted"))
        return failure(error, self._request.name, session, debug=self._request.debug)

    def _conclude(self, ending: Ending, session: "Session | None") -> None:
        """Decide, show and deliver the outcome; after this the run is over, only closing is left."""
        cause = self._stopper.settle()
        if cause is not None:
            ending = stopped(cause)
        ending, complaint = with_result(ending)
        self._exit_code = ending.exit_code
        self._stamp("finish")
        self._record(ending)  # a signal from here on must not cost a finished flow its outcome
        try:
            show(self._ui, ending, complaint, self._since.elapsed, session)
        finally:
            self._status.enter(CLOSING)
            self._deliver(ending, FINISH_SECONDS)
            self._on_outcome(ending.exit_code)

    def _last_words(self, cause: Cause, seconds: float) -> None:
        """Report for a flow that does not end; within a signal handler (0 s) nothing is printed."""
        ending = stopped(cause)
        self._stamp("finish")
        if seconds and self._exit_code is None:
            message = f"ended by force: {cause.reason}: {cause.message}"
            self._ui.fail("", message, reason=cause.reason, exit_code=cause.exit_code)
            self._ui.flush()
        self._deliver(ending, seconds)

    def _record(self, ending: Ending) -> None:
        self._reporter.record(ending, workers=self._status.most_workers, times=dict(self._times))

    def _deliver(self, ending: Ending, seconds: float) -> None:
        workers, times = self._status.most_workers, dict(self._times)
        self._reporter.deliver(ending, workers=workers, times=times, seconds=seconds)

    def _on_stop(self, stop: Stop) -> None:
        self._stopper.stop(cause_of(stop.reason, stop.message or f"stopped: {stop.reason}"))

    def _say(self, text: str, *, phase: str = CLUSTER, **facts: Any) -> None:
        self._ui.say(text, phase=phase, **facts)
        self._status.note(text, **facts)
        self._status.enter(phase)
        if phase == RUNNING and self._heart is not None:
            self._heart.tell()  # the agent holds the last beat for some seconds

    def _stamp(self, moment: str) -> None:
        self._times[moment] = timestamp(self._clock.now())

    def _warn_about_environment(self) -> None:
        if self._environment.scheduler_address:
            self._ui.say(
                "DASK_SCHEDULER_ADDRESS of the run is ignored: the agent gives the cluster"
            )

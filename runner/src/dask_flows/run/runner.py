"""The life of one run.

The order is chosen so that mistakes show early: the agent's leave comes before any of the user's code is
imported, the flow is imported and its parameters are checked before anybody waits for workers, and the
outcome is delivered before the cluster is closed.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dask_flows.channel import Channel, Heart, Stop
from dask_flows.clusters import attach
from dask_flows.config import Environment
from dask_flows.deadline import Clock, Deadline, timestamp
from dask_flows.errors import BadParameters
from dask_flows.flows.parameters import bind
from dask_flows.flows.source import unpack
from dask_flows.run.asking import wanted_by
from dask_flows.run.cause import Cause, cause_of
from dask_flows.run.checking import check_environment
from dask_flows.run.conclusion import show, with_result
from dask_flows.run.ending import Ending, failure, stopped, success, unshowable
from dask_flows.run.finding import flow_of
from dask_flows.run.host import Host
from dask_flows.run.letting_go import let_go
from dask_flows.run.limit import Limit
from dask_flows.run.monitor import Monitor
from dask_flows.run.offspring import Offspring
from dask_flows.run.recording import Recording
from dask_flows.run.report import FINISH_SECONDS, Reporter
from dask_flows.run.request import Request
from dask_flows.run.status import CLOSING, CLUSTER, RUNNING, Status
from dask_flows.ui import Ui

if TYPE_CHECKING:
    from dask_flows.clusters.session import Session

SCALING_BEAT, QUIET_BEAT = 2.0, 10.0  # seconds
INTERRUPTED = 130  # what Python itself makes of a KeyboardInterrupt

Program = Callable[["Session"], Any]


def run(
    request: Request,
    ui: Ui,
    environment: Environment,
    clock: Clock,
    *,
    host: Host | None = None,
) -> int:
    """Run it; returns the exit code. ``host`` is whom the run lives with: it ends what does not close.

    Raises UsageError only for an attempt whose token cannot be read: then there is nobody to report to;
    and for a second run in one process.
    """
    attempt = request.attempt
    channel = None
    if attempt is not None:
        channel = Channel(attempt, environment.pod_uid, environment.pod_name, clock)
    host = host or Host()
    one = _Run(request, ui, environment, clock, channel=channel, host=host)
    with host.turn(), ui.capturing():
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
        host: Host,
    ) -> None:
        self._request, self._ui, self._environment, self._clock = request, ui, environment, clock
        self._channel, self._host = channel, host
        self._reporter = Reporter(request.attempt, channel, environment)
        self._status = Status()
        self._recording = Recording(request, clock)
        self._stopper = host.stopper(self._last_words)
        self._limit = Limit(self._stopper, clock)
        self._since = Deadline(None, clock)
        self._heart: Heart | None = None
        self._times: dict[str, str] = {}
        self._session: Session | None = None
        self._result: Any = None
        self._offspring = Offspring(alone=host.alone)

    def to_its_end(self) -> int:
        """Go through all steps; returns the exit code."""
        self._stamp("start")
        stack = ExitStack()
        with self._stopper:
            raised = self._stopper.guard(lambda: self._steps(stack))
            with suppress(BaseException):  # of what shows it: the outcome stands
                self._conclude(raised)
            self._stopper.closing()
            with suppress(BaseException):  # whatever closing meets, the run is over
                stack.close()
            if self._stopper.cause is not None:
                self._offspring.end()  # what a flow has started has not heard the signal
                self._offspring.tidy()
            if raised is not None:
                let_go(raised)
        return self._stopper.exit_code

    def _steps(self, stack: ExitStack) -> None:
        self._recording.prepare()
        self._begin(stack)
        program = self._prepare(stack)
        loaded = self._since.elapsed
        self._session = self._connect(stack)
        self._host.attached(self._session)
        stack.enter_context(self._recording.on(self._session))
        check_environment(self._session, self._request, self._ui.say)
        self._say(f"flow loaded in {loaded:.1f} s", seconds=round(loaded, 2))
        self._flow(program, self._session)

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

        flow = stack.enter_context(flow_of(request, folder))
        arguments, clients = bind(request.flow, flow.function, request.parameters, request.texts)
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
            own = child_environment(session.attached.address, session.wanted)
            environment = {**self._environment.variables, **own}
            run_command(
                words,
                folder=folder,
                environment=environment,
                hear=hear,
                group=self._offspring.group,
            )

        return program

    def _connect(self, stack: ExitStack) -> "Session":
        wanted = stack.enter_context(wanted_by(self._request))
        deadline = Deadline(self._request.connect_timeout, self._clock)
        return stack.enter_context(
            attach(wanted, deadline=deadline, clock=self._clock, say=self._say, hear=self._ui.hear)
        )

    def _flow(self, program: Program, session: "Session") -> None:
        self._stamp("running")
        self._say(f"running {self._request.name}", phase=RUNNING)
        with Monitor(session, self._status, self._stopper, self._ui), self._ui.live():
            self._result = program(session)

    def _ending(self, raised: BaseException | None) -> Ending:
        if raised is None:
            return success(self._result)
        if isinstance(
            raised, KeyboardInterrupt
        ):  # nobody has stopped the run: the flow itself says so
            return stopped(Cause("Cancelled", "the flow raised KeyboardInterrupt", INTERRUPTED))
        try:
            return failure(raised, self._request.name, self._session, debug=self._request.debug)
        except Exception as strange:  # noqa: BLE001 - a user's exception may fail to show itself
            return unshowable(raised, strange)

    def _conclude(self, raised: BaseException | None) -> None:
        """Decide, show and deliver the outcome; after this the run is over, only closing is left."""
        cause = self._stopper.settle()
        ending = stopped(cause) if cause is not None else self._ending(raised)
        self._stopper.ends_with(ending.exit_code)
        seconds, whole = self._since.elapsed, ending
        ending, complaint = with_result(ending)
        self._stamp("finish")
        self._record(ending)
        try:
            self._host.ended(whole, raised, self._session, self._status, seconds)
            show(self._ui, ending, complaint, seconds, self._session)
        finally:
            self._status.enter(CLOSING)
            self._deliver(ending, FINISH_SECONDS)
            self._recording.save(ending, self._ui, quick=cause is not None)

    def _last_words(self, cause: Cause, seconds: float) -> None:
        """Report for a flow that does not end."""
        ending = stopped(cause)
        self._stamp("finish")
        self._record(ending)  # first what cannot block
        self._offspring.end()
        message = f"ended by force: {cause.reason}: {cause.message}"
        self._ui.fail("", message, reason=cause.reason, exit_code=cause.exit_code)
        self._ui.flush()
        self._recording.abandon(ending, self._ui)
        self._deliver(ending, seconds)
        self._offspring.tidy()

    def _record(self, ending: Ending) -> None:
        self._reporter.record(ending, workers=self._status.most_workers, times=dict(self._times))

    def _deliver(self, ending: Ending, seconds: float) -> None:
        workers, times = self._status.most_workers, dict(self._times)
        self._reporter.deliver(ending, workers=workers, times=times, seconds=seconds)

    def _on_stop(self, stop: Stop) -> None:
        self._stopper.stop(cause_of(stop.reason, stop.message or f"stopped: {stop.reason}"))

    def _say(self, text: str, *, phase: str = CLUSTER, **facts: Any) -> None:
        self._ui.say(text, phase=phase, **facts)
        self._recording.note(phase, facts)
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

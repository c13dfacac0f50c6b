"""Run within a program that goes on afterwards: a script, a service, a notebook.

In the main thread of a plain program a run works as on the command line: it owns the signals while it lasts,
and hands on the one that ended it. Where an event loop runs (a notebook), or in another thread, it gets a
thread of its own, because it waits for coroutines and must be interruptible.
"""

import asyncio
import contextvars
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from dask_flows.config import Environment
from dask_flows.deadline import Clock
from dask_flows.layers import withdraw
from dask_flows.outcome import CANCELLED
from dask_flows.run.cause import Cause
from dask_flows.run.ending import Ending, stopped
from dask_flows.run.host import Host, LastWords, Patient
from dask_flows.run.request import Request
from dask_flows.run.result import RunOutcome, error_of
from dask_flows.run.runner import run
from dask_flows.run.stopping import GRACE, LAST_WORDS, Stopper, give_back
from dask_flows.run.threaded import ThreadStopper, raise_in
from dask_flows.ui import Ui

if TYPE_CHECKING:
    from dask_flows.clusters.session import Session
    from dask_flows.run.status import Status

CLOSE_SECONDS = 35.0  # a cluster class has 30
_INTERRUPTED = Cause("Cancelled", "interrupted", 128 + signal.SIGINT)


def carry_out(request: Request, ui: Ui, environment: Environment, clock: Clock) -> RunOutcome:
    """Run the request; returns how it ended. A signal that ended it is handed on."""
    if threading.current_thread() is threading.main_thread() and not in_event_loop():
        host = _Inside(request)
        run(request, ui, environment, clock, host=host)
        _hand_on(host.cause)
        return host.outcome
    return _Elsewhere(request).carry_out(lambda h: run(request, ui, environment, clock, host=h))


def in_event_loop() -> bool:
    """Whether this thread has a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Inside(Host):
    """A program whose main thread runs the flow: nothing may end its process, or others of its processes."""

    alone = False

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request
        self._stopper: Stopper | None = None
        self._outcome: RunOutcome | None = None
        self._session: Session | None = None

    @property
    def cause(self) -> Cause | None:
        """What has stopped the run."""
        return self._stopper.cause if self._stopper is not None else None

    @property
    def outcome(self) -> RunOutcome:
        """How the run ended."""
        if self._outcome is None:  # a run that cannot even say how it ended
            return _outcome(stopped(self.cause or _INTERRUPTED), None, self._request)
        return self._outcome

    def turn(self) -> AbstractContextManager[None]:
        """Leave it to whoever has asked for the run: it was the only one already then."""
        return nullcontext()

    def stopper(self, last_words: LastWords) -> Stopper:  # noqa: ARG002 - nothing is ended
        """Return what interrupts the main thread once more instead of ending the process."""
        self._stopper = Patient(lambda *_: None, exit_now=self._insist)
        return self._stopper

    def attached(self, session: "Session") -> None:
        """Remember whom to wake if the run is stopped."""
        self._session = session

    def ended(
        self,
        ending: Ending,
        raised: BaseException | None,
        session: "Session | None",
        status: "Status",
        seconds: float,
    ) -> None:
        """Keep how the run ended."""
        self._outcome = _outcome(
            ending,
            raised,
            self._request,
            tasks=session.tasks() if session is not None else None,
            workers=status.most_workers,
            seconds=seconds,
        )

    def _insist(self, _: int) -> None:
        raise_in(threading.main_thread().ident or 0, KeyboardInterrupt)
        self._wake()

    def _wake(self) -> None:
        """Let a flow that waits for results hear now that it is to stop, not some seconds later."""
        client = self._session.client if self._session is not None else None
        if client is not None and client.status == "running":
            client.loop.add_callback(_cancel_futures, client)


class _Elsewhere(_Inside):
    """A program that waits for a thread in which the flow runs."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._over = threading.Event()  # it has ended, or nobody waits for it any longer
        self._failure: BaseException | None = None

    def carry_out(self, work: Callable[["_Elsewhere"], Any]) -> RunOutcome:
        """Do the work in a thread and wait for it; an interruption stops the run first."""
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=lambda: context.run(self._work, work), name="dask-flows-run", daemon=True
        )
        thread.start()
        try:
            with _interruptible():
                self._over.wait()
        except KeyboardInterrupt:
            if self._stopper is not None:
                self._stopper.stop(_INTERRUPTED)
            thread.join(GRACE + CLOSE_SECONDS)
            withdraw(thread)  # of one that does not stop
            raise
        if self._failure is not None:
            raise self._failure
        thread.join(LAST_WORDS)
        if thread.is_alive():
            withdraw(thread)  # the next run of this process must not take its cluster
            warnings.warn(
                f"{self._request.name} does not stop; it goes on in the thread {thread.name}",
                ResourceWarning,
                stacklevel=4,
            )
        return self.outcome

    def stopper(self, last_words: LastWords) -> Stopper:
        """Return what raises in the run's thread, and gives up waiting for it."""
        self._stopper = ThreadStopper(
            last_words, exit_now=lambda _: self._over.set(), grace=GRACE, wake=self._wake
        )
        return self._stopper

    def _work(self, work: Callable[["_Elsewhere"], Any]) -> None:
        try:
            work(self)
        except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits
            self._failure = error
        finally:
            self._over.set()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt the main thread's wait; an event loop would wait for its coroutine instead."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        give_back(signal.SIGINT, before)


def _cancel_futures(client: Any) -> None:
    for state in list(client.futures.values()):
        state.cancel()


def _outcome(
    ending: Ending, raised: BaseException | None, request: Request, **known: Any
) -> RunOutcome:
    return RunOutcome(
        outcome=ending.outcome,
        reason=ending.reason,
        message=ending.message,
        result=ending.result,
        exit_code=ending.exit_code,
        error=error_of(ending, raised),
        report=request.save,
        **known,
    )


def _hand_on(cause: Cause | None) -> None:
    """Do what the signal would have done without a run; the handlers are the program's own again."""
    if cause is None or cause.outcome != CANCELLED:
        return
    number = cause.exit_code - 128
    if number in (signal.SIGINT, signal.SIGTERM):
        signal.raise_signal(number)

"""How a run ended: one rule for every way, in one place."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask_flows.clusters.losses import tell_killed
from dask_flows.errors import DaskFlowsError, EnvironmentMismatch, FlowFailed
from dask_flows.flows.frames import format_failure, place_of
from dask_flows.outcome import FAILED, SUCCEEDED
from dask_flows.run.cause import Cause

if TYPE_CHECKING:
    from dask_flows.clusters.session import Session

_KILLED_WORKER = "KilledWorker"
_OWN_CLUSTER = "Unexpected keyword arguments"  # of a Client that has an address, from the settings


@dataclass(frozen=True)
class Ending:
    """An outcome with what is shown to people."""

    outcome: str
    reason: str = ""
    message: str = ""
    exit_code: int = 0
    exception: str | None = None
    traceback: str = ""
    result: Any = None


def success(result: Any) -> Ending:
    """Return the ending of a flow that returned."""
    return Ending(SUCCEEDED, result=result)


def stopped(cause: Cause) -> Ending:
    """Return the ending of a run that was stopped."""
    return Ending(cause.outcome, cause.reason, cause.message, cause.exit_code)


def failure(error: BaseException, flow: str, session: "Session | None", *, debug: bool) -> Ending:
    """Return the ending for what was raised on the way or by the flow."""
    if isinstance(error, SystemExit):
        return _exited(error, flow)
    if session is not None and (lost := session.blamed(error)):
        return _ours(lost, format_failure(error, debug=debug))
    if isinstance(error, EnvironmentMismatch):
        return _ours(error, error.table)
    if isinstance(error, DaskFlowsError):
        shown = error if debug else error.__cause__
        return _ours(error, format_failure(shown, debug=debug) if shown else "")
    name = type(error).__name__
    said, do = f"{name}: {error}" if str(error) else name, "see the traceback above"
    if name == _KILLED_WORKER:
        said, do = tell_killed(error, session.lookout.hearsay if session is not None else None)
    elif isinstance(error, ValueError) and str(error).startswith(_OWN_CLUSTER):
        do = "the program sizes a cluster of its own, but the run has one: call Client() without them"
    told = FlowFailed(said, where=place_of(error) or flow, do=do)
    return _ours(told, format_failure(error, debug=debug), exception=name)


def unshowable(error: BaseException, strange: Exception) -> Ending:
    """Return the ending for an exception whose own methods fail."""
    name = type(error).__name__
    said = f"{name}: its text cannot be shown, {type(strange).__name__} comes of it"
    told = FlowFailed(said, where=place_of(error), do=f"make str() of {name} work")
    return _ours(told, "", exception=name)


def _ours(error: DaskFlowsError, traceback: str, exception: str | None = None) -> Ending:
    return Ending(FAILED, error.reason, str(error), error.exit_code, exception, traceback)


def _exited(error: SystemExit, flow: str) -> Ending:
    """A flow may end itself: without a code, or with 0, it has succeeded."""
    if error.code is None or error.code == 0:
        return success(None)
    do = "see its output above"
    told = FlowFailed(f"the flow called sys.exit({error.code!r})", where=flow, do=do)
    return _ours(told, "", exception="SystemExit")

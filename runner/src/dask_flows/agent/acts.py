"""What the agent may do next for a run: the answers of ``state.decide``. Each is one step."""

from dataclasses import dataclass

from dask_flows.agent.verdict import Ending
from dask_flows.diagnose import Diagnosis


@dataclass(frozen=True)
class Wait:
    """Do nothing until something changes, or ``seconds`` have passed."""

    seconds: float | None = None


@dataclass(frozen=True)
class Hold:
    """Show why an unclaimed run does not start."""

    phase: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Claim:
    """Write phase Starting and the attempt's number: the first step of an attempt."""


@dataclass(frozen=True)
class Begin:
    """Make the attempt's objects, the Job last."""


@dataclass(frozen=True)
class Probe:
    """Ask the API server why the Job has no pod."""


@dataclass(frozen=True)
class Report:
    """Show what keeps the attempt from running, or that nothing does any more."""

    diagnosis: Diagnosis | None


@dataclass(frozen=True)
class Progress:
    """Write what the runner's beats say: it runs, on so many workers."""

    running: bool
    workers: int | None


@dataclass(frozen=True)
class Stop:
    """Record the intent to end the attempt; its runner hears it with the next beat."""

    reason: str
    message: str


@dataclass(frozen=True)
class Flag:
    """Show that a pod of the attempt is on a node that does not answer, or that none is any more."""

    found: Diagnosis | None


@dataclass(frozen=True)
class Escalate:
    """Let Kubernetes end the runner's pod, since it did not end by itself."""


@dataclass(frozen=True)
class End:
    """Record how the attempt ended."""

    ending: Ending


@dataclass(frozen=True)
class Clean:
    """Remove what the attempt leaves behind, except its finished Job."""


Step = (
    Wait | Hold | Claim | Begin | Probe | Report | Progress | Stop | Flag | Escalate | End | Clean
)  # fmt: skip

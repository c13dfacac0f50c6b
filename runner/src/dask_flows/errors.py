"""What can go wrong, in one tree.

    DaskFlowsError
    ├── UsageError            2   the command line, a file or a FlowRun is not valid
    │   ├── ConfigError       2   a configuration file is not valid
    │   ├── BadFlow           2   the flow cannot be found, imported or called
    │   └── BadParameters     2   the parameters do not fit the flow
    ├── FlowFailed            1   the flow itself raised
    ├── ClusterTimeout        3   scheduler or workers were not ready in time
    ├── SchedulerLost         4   the scheduler went away during the run
    ├── WorkersLost           4   no worker is left and none is coming
    ├── DeadlineExceeded      5   the run took longer than it may
    ├── EnvironmentMismatch   6   runner, scheduler and workers have packages that do not fit
    └── DuplicateStart       96   another process has already started this attempt

Every message has three parts: what was found, where, and what to do about it. Each class carries the
``reason`` that a FlowRun shows and the exit code of the runner; both are part of the public contract.
"""

from typing import ClassVar


class DaskFlowsError(Exception):
    """A failure that a person can act on."""

    reason: ClassVar[str] = "FlowFailed"
    exit_code: ClassVar[int] = 1

    def __init__(self, found: str, *, where: str = "", do: str = "") -> None:
        self.found = found
        self.where = where
        self.do = do
        super().__init__(found)

    def __str__(self) -> str:
        """Join the parts: ``found (where): do``."""
        text = f"{self.found} ({self.where})" if self.where else self.found
        return f"{text}: {self.do}" if self.do else text


class UsageError(DaskFlowsError):
    """What the caller asked for is not valid."""

    reason = "InvalidSpec"
    exit_code = 2


class ConfigError(UsageError):
    """A configuration file has an unknown key, a wrong type or a missing value."""


class BadFlow(UsageError):
    """The flow cannot be found, imported or called."""

    reason = "BadFlow"


class BadParameters(UsageError):
    """The parameters do not fit the flow's signature."""

    reason = "BadParameters"


class FlowFailed(DaskFlowsError):
    """The flow raised, or its command ended with an exit code other than 0."""


class ClusterTimeout(DaskFlowsError):
    """The scheduler or the minimum of workers was not ready in time."""

    reason = "ClusterTimeout"
    exit_code = 3


class SchedulerLost(DaskFlowsError):
    """The scheduler went away while the flow was using it."""

    reason = "SchedulerLost"
    exit_code = 4


class WorkersLost(DaskFlowsError):
    """No worker is left and none is coming."""

    reason = "WorkersLost"
    exit_code = 4


class DeadlineExceeded(DaskFlowsError):
    """The run took longer than ``deadlineSeconds``."""

    reason = "DeadlineExceeded"
    exit_code = 5


class EnvironmentMismatch(DaskFlowsError):
    """Runner, scheduler and workers have packages that do not fit together; ``table`` shows which."""

    reason = "EnvironmentMismatch"
    exit_code = 6

    def __init__(self, found: str, *, where: str = "", do: str = "", table: str = "") -> None:
        super().__init__(found, where=where, do=do)
        self.table = table


class DuplicateStart(DaskFlowsError):
    """Another process has already started this attempt, or the attempt is over."""

    reason = "DuplicateStart"
    exit_code = 96

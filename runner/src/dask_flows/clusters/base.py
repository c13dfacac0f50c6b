"""What a run asks of a cluster, what it gets, and how the two talk."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from dask_flows.deadline import SCHEDULER_TIMEOUT, WORKERS_TIMEOUT

if TYPE_CHECKING:
    from distributed import Client

    from dask_flows.deadline import Deadline


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a run asks for; ``workers``, ``threads`` and ``memory`` size a local cluster only.

    ``tag`` names the run in its tasks' annotations. ``origin`` is the flag, variable or file that chose the
    cluster; empty if that needs no word. ``factory`` makes a cluster of mode ``class``, ``cluster_class`` is
    its name. ``equip`` puts our worker plugin on workers that may have been started without our preload.
    ``scheduler_timeout`` is how long the scheduler may be silent, ``workers_timeout`` how long tasks may wait
    while there is no worker (s).
    """

    mode: str
    tag: str
    origin: str = ""
    address: str | None = None
    dashboard: str | None = None
    minimum: int = 1
    maximum: int = 1
    workers: int | None = None
    threads: int | None = None
    memory: str | None = None
    factory: Callable[..., Any] | None = None
    cluster_class: str = ""
    cluster_kwargs: Mapping[str, Any] = field(default_factory=dict)
    adapt: tuple[int, int] | None = None
    client_kwargs: Mapping[str, Any] = field(default_factory=dict)
    show_dashboard: bool = False
    equip: bool = False
    scheduler_timeout: float = SCHEDULER_TIMEOUT
    workers_timeout: float = WORKERS_TIMEOUT

    @property
    def told_origin(self) -> str:
        """Who chose the cluster, to be put behind its name."""
        if self.origin in ("", "default"):
            return f" ({self.origin})" if self.origin else ""
        return f" (from {self.origin})"

    @property
    def remote(self) -> bool:
        """Whether scheduler and workers may have other packages than the runner."""
        return self.mode != "local"

    @property
    def shared(self) -> bool:
        """Whether tasks of other runs are on the cluster, too."""
        return self.mode == "static"

    @property
    def elastic(self) -> bool:
        """Whether the cluster grows and shrinks with the work."""
        return self.mode == "ephemeral" and self.minimum < self.maximum


@dataclass(frozen=True)
class Attached:
    """A client of a cluster that is ready; ``patience`` is how long its scheduler may be away (s)."""

    client: "Client"
    address: str
    dashboard: str | None
    patience: float


@dataclass(frozen=True)
class Tasks:
    """How far a run's tasks are, and how many each worker has done."""

    done: int = 0
    total: int = 0
    failed: int = 0
    workers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Scaling:
    """How many workers the scheduler would like, and which ones have nothing to do."""

    wanted: int
    idle: tuple[str, ...]


class Say(Protocol):
    """Tell people what is being done."""

    def __call__(self, text: str, **facts: Any) -> None:
        """Say one line; the facts are the same for programs."""
        ...


class Hear(Protocol):
    """Take a line that a worker wrote."""

    def __call__(self, worker: str, text: str, stream: str) -> None:
        """Take the line; ``stream`` is stdout or stderr."""
        ...


class Cluster(Protocol):
    """One way to get a cluster; leaving the context gives it back."""

    def attached(self, deadline: "Deadline", say: Say) -> AbstractContextManager[Attached]:
        """Be ready by the deadline; raises ClusterTimeout."""
        ...

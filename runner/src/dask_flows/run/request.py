"""What is to be run, from the command line or from an attempt of the agent's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dask_flows.config import AttemptSpec
from dask_flows.deadline import SCHEDULER_TIMEOUT, WORKERS_TIMEOUT


@dataclass(frozen=True, kw_only=True)
class Request:
    """One run: exactly one of ``flow`` and ``command``; times in seconds.

    ``function`` is the flow itself if Python has given it; ``flow`` is its name then. With an ``attempt`` the
    agent decides: what else is given here has come from it. ``texts`` are parameters as they were typed.
    ``origin`` says what chose the mode.
    ``cluster_class`` is ``package.module:Name`` of a cluster class or factory, or the thing itself; ``adapt``
    holds its least and largest number of workers.
    ``scheduler_timeout`` is how long a scheduler may be silent, ``workers_timeout`` how long a run with
    unfinished tasks may be without any worker. ``save`` is the folder for run.json and report.html.
    """

    flow: str | None = None
    function: Callable[..., Any] | None = None
    command: Sequence[str] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    folder: Path = field(default_factory=Path.cwd)
    archive: Path | None = None
    mode: str = "local"
    origin: str = ""
    address: str | None = None
    dashboard: str | None = None
    minimum: int = 1
    maximum: int = 1
    workers: int | None = None
    threads: int | None = None
    memory: str | None = None
    cluster_class: str | Callable[..., Any] | None = None
    cluster_kwargs: Mapping[str, Any] = field(default_factory=dict)
    adapt: tuple[int, int] | None = None
    client_kwargs: Mapping[str, Any] = field(default_factory=dict)
    strict_environment: bool = False
    connect_timeout: float = 30.0
    scheduler_timeout: float = SCHEDULER_TIMEOUT
    workers_timeout: float = WORKERS_TIMEOUT
    deadline: float | None = None
    attempt: AttemptSpec | None = None
    debug: bool = False
    show_dashboard: bool = False
    save: Path | None = None

    @property
    def name(self) -> str:
        """What is run, for people."""
        return self.flow if self.flow is not None else " ".join(self.command or ())


def of_attempt(attempt: AttemptSpec, *, mode: str, debug: bool) -> Request:
    """Return what the agent asks for; ``mode`` is the flag that it passes."""
    folder = attempt.source_workdir if attempt.source_zip else attempt.source
    return Request(
        flow=attempt.flow,
        command=attempt.command,
        parameters=attempt.parameters,
        folder=Path(folder) if folder else Path.cwd(),
        archive=Path(attempt.source_zip) if attempt.source_zip else None,
        mode=mode,
        address=attempt.address,
        dashboard=attempt.dashboard,
        minimum=attempt.minimum_workers,
        maximum=attempt.maximum_workers,
        strict_environment=attempt.strict_environment,
        connect_timeout=attempt.start_deadline,
        scheduler_timeout=attempt.scheduler_timeout,
        workers_timeout=attempt.workers_timeout,
        deadline=attempt.deadline,
        attempt=attempt,
        debug=debug,
    )

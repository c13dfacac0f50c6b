"""What is to be run, from the command line or from an attempt of the agent's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dask_flows.config import AttemptSpec


@dataclass(frozen=True, kw_only=True)
class Request:
    """One run: exactly one of ``flow`` and ``command``; times in seconds.

    With an ``attempt`` the agent decides: what else is given here has come from it.
    """

    flow: str | None = None
    command: Sequence[str] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = field(default_factory=Path.cwd)
    archive: Path | None = None
    mode: str = "local"
    address: str | None = None
    dashboard: str | None = None
    minimum: int = 1
    maximum: int = 1
    workers: int | None = None
    threads: int | None = None
    memory: str | None = None
    connect_timeout: float = 30.0
    deadline: float | None = None
    attempt: AttemptSpec | None = None
    debug: bool = False
    show_dashboard: bool = False

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
        connect_timeout=attempt.start_deadline,
        deadline=attempt.deadline,
        attempt=attempt,
        debug=debug,
    )

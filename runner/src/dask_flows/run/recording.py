"""Record a run and write its report; without ``--save`` it does nothing.

Nothing here may cost a run anything: what goes wrong after the start ends in one line of warning.
"""

import platform
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dask_flows.deadline import Clock, Deadline, timestamp
from dask_flows.masking import Secrets
from dask_flows.run.ending import Ending
from dask_flows.run.request import Request
from dask_flows.run.status import RUNNING
from dask_flows.ui import Ui

if TYPE_CHECKING:
    from dask_flows.clusters.record import Record as Source
    from dask_flows.clusters.session import Session
    from dask_flows.report import Run

READ_SECONDS = 5.0  # what a lost scheduler takes along is not older
PACKAGES = ("dask-flows", "dask", "distributed")


class Recording:
    """What is kept of one run, from its start."""

    def __init__(self, request: Request, clock: Clock) -> None:
        self._request, self._folder, self._clock = request, request.save, clock
        self._since, self._start = Deadline(None, clock), timestamp(clock.now())
        self._marks: list[tuple[str, float]] = [("prepare", 0.0)]
        self._source: Source | None = None
        self._session: Session | None = None
        self._last: tuple[Mapping[str, Any], float] | None = None
        self._ended = threading.Event()
        self._saving = threading.Lock()

    def prepare(self) -> None:
        """Make the folder; raises UsageError if nothing can be written there."""
        if self._folder is not None:
            from dask_flows.report import prepare

            self._folder = self._folder.absolute()  # a flow may go elsewhere
            prepare(self._folder)

    def note(self, phase: str, facts: Mapping[str, Any]) -> None:
        """Take what the run says of its way to the cluster: each phase begins once."""
        name = (
            "running" if phase == RUNNING
            else "scheduler" if "mode" in facts
            else "workers" if "seconds" in facts
            else ""
        )  # fmt: skip
        if name and all(name != known for known, _ in self._marks):
            self._marks.append((name, self._since.elapsed))

    @contextmanager
    def on(self, session: "Session") -> Iterator[None]:
        """Record the cluster for the time of the context."""
        if self._folder is None:
            yield
            return
        from dask_flows.clusters.record import Record

        self._session, self._source = session, Record(session)
        self._read(self._source.begin)
        threading.Thread(target=self._watch, name="dask-flows-recording", daemon=True).start()
        try:
            yield
        finally:
            self._ended.set()

    def save(self, ending: Ending, ui: Ui, *, quick: bool = False) -> None:
        """Write the report, once; ``quick`` leaves out what takes seconds. Never raises an Exception."""
        if self._folder is None or not self._saving.acquire(blocking=False):
            return
        try:
            page = self._save(self._folder, ending, quick=quick)
        except Exception as error:  # noqa: BLE001 - a run is not lost for its report
            said = f"{type(error).__name__}: {error}"
            ui.say(f"warning: the report is not written: {said}", event="report")
        else:
            ui.say(f"report {page}", event="report", path=str(page))

    def abandon(self, ending: Ending, ui: Ui) -> None:
        """Write the report of a run that is ended by force, without asking anybody."""
        self._source = None
        self.save(ending, ui, quick=True)

    def _save(self, folder: Path, ending: Ending, *, quick: bool) -> Path:
        from dask_flows.report import WITHHELD, Mark, hide, read, reveals, save

        self._ended.set()
        secrets = Secrets.of(self._request.parameters, self._request.command or ())
        run, source = self._run(ending, secrets), self._source
        fresh = self._read(source.end) if source is not None else False
        raw, at = self._last or (None, 0.0)
        marks = [Mark(name, at) for name, at in self._marks]
        record = hide(read(run, marks, raw, at=at, last=fresh), secrets)
        page = save(folder, record)
        asked = source is not None and fresh and not quick
        made = source.dask_report(record.run.name) if source is not None and asked else None
        if made is None:
            return page
        if reveals(made, secrets):
            return save(folder, replace(record, missing=(*record.missing, WITHHELD)))
        return save(folder, record, dask_report=made)

    def _watch(self) -> None:
        source = self._source
        while source is not None and not self._ended.wait(READ_SECONDS):
            self._read(source.read)

    def _read(self, ask: Any) -> bool:
        """Keep what the scheduler says; whether it said something."""
        try:
            raw = ask()
        except Exception:  # noqa: BLE001 - the last answer stays
            return False
        if raw is not None:
            self._last = (raw, self._since.elapsed)
        return raw is not None

    def _run(self, ending: Ending, secrets: Secrets) -> "Run":
        from dask_flows.report import Run

        request, session = self._request, self._session
        return Run(
            name=request.flow or " ".join(secrets.words(request.command or ())),
            kind="flow" if request.flow is not None else "command",
            mode=session.wanted.mode if session is not None else request.mode,
            shared=session is not None and session.wanted.shared,
            elastic=request.adapt is not None or (session is not None and session.wanted.elastic),
            tag=session.wanted.tag if session is not None else "",
            address=session.attached.address if session is not None else request.address or "",
            dashboard=session.attached.dashboard if session is not None else None,
            parameters=request.parameters,
            versions=_versions(),
            start=self._start,
            finish=timestamp(self._clock.now()),
            seconds=self._since.elapsed,
            outcome=ending.outcome,
            reason=ending.reason,
            message=ending.message,
            exit_code=ending.exit_code,
            exception=ending.exception,
            traceback=ending.traceback,
            result=ending.result,
        )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):  # from a checkout there is no metadata
            found[name] = version(name)
    return found

"""Check, before the flow runs, that runner, scheduler and workers have packages that fit."""

import inspect
import sys
from typing import TYPE_CHECKING

from dask_flows.clusters import Say
from dask_flows.compatibility import RULED, Needs, Row, fatal, table
from dask_flows.errors import EnvironmentMismatch
from dask_flows.run.request import Request

if TYPE_CHECKING:
    from dask_flows.clusters.session import Session

SHOWN = 5  # names of packages in the message; the table has all


def check_environment(session: "Session", request: Request, say: Say) -> None:
    """Warn about packages that differ, and watch for workers that join later.

    Raises EnvironmentMismatch for those with which the run could not work, with ``strict_environment`` for
    any that differs. A local cluster is the runner's own environment: there is nothing to compare.
    """
    if not session.wanted.remote:
        return
    from dask_flows.clusters import versions
    from dask_flows.flows.imports import imported_packages

    imported = imported_packages(_module_of(request), RULED)
    needs = Needs(
        runner=versions.installed_here(imported),
        imported=imported,
        strict=request.strict_environment,
        compresses=versions.compresses(),
    )
    # Before the question, so that no worker joins unseen between the two.
    session.watch_latecomers(needs, say)
    told = versions.ask(session.client, imported)
    silent = [*([] if told.scheduler else ["the scheduler"]), *told.silent]
    for name in silent:
        say(
            f"warning: {name} did not say what is installed there", event="environment", silent=name
        )
    if needs.strict:
        rows = needs.compare(told.scheduler, told.workers)
    else:  # who has said nothing is named above, and not once more for each package
        workers = {name: said for name, said in told.workers.items() if said}
        rows = needs.compare(told.scheduler or None, workers)
    if wrong := fatal(rows):
        raise _mismatch(wrong, rows, session.attached.address, strict=needs.strict)
    for row in rows:
        say(f"warning: {row.told} ({row.reason})", event="environment", package=row.package)


def _module_of(request: Request) -> str:
    """Return the name of the flow's module; empty for a command, whose modules only it knows."""
    if request.function is not None:
        return str(getattr(inspect.unwrap(request.function), "__module__", None) or "")
    module = (request.flow or "").rpartition(":")[0]
    if not module.endswith(".py"):
        return module
    from dask_flows.flows.names import tidy

    # Its module may have another name than the file.
    file = str(tidy(request.folder / module))
    return next((n for n, m in list(sys.modules.items()) if _file_of(m) == file), "")


def _file_of(module: object) -> str | None:
    try:
        return getattr(module, "__file__", None)
    except Exception:  # noqa: BLE001 - lazy modules of all kinds are among them
        return None


def _mismatch(
    wrong: list[Row], rows: list[Row], address: str, *, strict: bool
) -> EnvironmentMismatch:
    names = [row.package for row in wrong]
    listed = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if names[SHOWN:] else "")
    differ = "are not the same everywhere" if strict else "do not fit between runner and cluster"
    return EnvironmentMismatch(
        f"packages {differ}: {listed}",
        where=address,
        do="give runner, scheduler and workers the same image; the table above says who has what",
        table=table(rows),
    )

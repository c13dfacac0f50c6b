"""``dask_flows.run``: run a flow from Python, with the options of the command line."""

import multiprocessing
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO, cast

from dask_flows.clusters import Asked
from dask_flows.config import Environment
from dask_flows.deadline import CONNECT_TIMEOUT, SCHEDULER_TIMEOUT, WORKERS_TIMEOUT, SystemClock
from dask_flows.errors import UsageError
from dask_flows.layers import only_run
from dask_flows.run.asking import ask
from dask_flows.run.finding import name_of
from dask_flows.run.inside import carry_out
from dask_flows.run.result import RunOutcome
from dask_flows.ui import Plain, Ui, make_ui

Output = Literal["text", "json"] | None


def run(
    flow: Callable[..., Any] | str | Sequence[str],
    *,
    parameters: Mapping[str, Any] | None = None,
    mode: str | None = None,
    address: str | None = None,
    minimum_workers: int | None = None,
    workers: int | None = None,
    threads: int | None = None,
    memory: str | None = None,
    cluster_class: str | Callable[..., Any] | None = None,
    cluster_kwargs: Mapping[str, Any] | None = None,
    adapt: tuple[int, int] | None = None,
    client_kwargs: Mapping[str, Any] | None = None,
    connect_timeout: float = CONNECT_TIMEOUT,
    deadline: float | None = None,
    scheduler_timeout: float = SCHEDULER_TIMEOUT,
    workers_timeout: float = WORKERS_TIMEOUT,
    strict_environment: bool = False,
    output: Output = "text",
    save: str | Path | None = None,
    debug: bool = False,
) -> RunOutcome:
    """Run a flow and return how it ended; what the flow raises is in the outcome.

    ``flow`` is a function, a reference like ``flow.py:main``, or the words of a command. The options are
    those of ``dask-flows run``, times in seconds; ``output=None`` writes nothing. While a cluster of
    ``dask_flows.cluster`` is open, the run uses it unless told otherwise. Raises UsageError for options that
    contradict each other, and while another run of this process is on. A signal that ends the run does its
    usual work afterwards: Ctrl-C raises KeyboardInterrupt.
    """
    refuse_in_workers()
    asked = Asked(
        mode=mode,
        address=address,
        minimum_workers=minimum_workers,
        workers=workers,
        threads=threads,
        memory=memory,
        cluster_class=cluster_class,
        cluster_kwargs=cluster_kwargs,
        adapt=adapt,
    )
    return _carried_out(
        asked,
        output,
        client_kwargs=client_kwargs,
        **_named(flow),
        parameters=dict(parameters or {}),
        connect_timeout=connect_timeout,
        deadline=deadline,
        scheduler_timeout=scheduler_timeout,
        workers_timeout=workers_timeout,
        strict_environment=strict_environment,
        save=Path(save) if save is not None else None,
        debug=debug,
        show_dashboard=True,
    )


def _carried_out(asked: Asked, output: Output, **rest: Any) -> RunOutcome:
    """Run it as the only run of this process, on an open cluster unless it asks for workers of its own."""
    with only_run():
        own = any(one is not None for one in (asked.workers, asked.threads, asked.memory))
        environment, clock = Environment.read(inside=not own), SystemClock()
        request = ask(asked, environment, **rest)
        return carry_out(request, ui_for(output, environment), environment, clock)


def ui_for(output: Output, environment: Environment) -> Ui:
    """Return what writes to standard output in this form, or nowhere."""
    clock = SystemClock()
    if output is None:
        return Plain(cast("TextIO", _Nowhere()), clock)
    return make_ui(output, clock, color=not environment.no_color)


def refuse_in_workers() -> None:
    """Raise UsageError in a worker process that imports the program it was started from."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError(
            "a worker process imports this program, and must not run it again",
            where=sys.argv[0],
            do='put what runs under: if __name__ == "__main__":',
        )


def _named(flow: Callable[..., Any] | str | Sequence[str]) -> dict[str, Any]:
    if isinstance(flow, str):
        return {"flow": flow}
    if callable(flow):
        return {"flow": name_of(flow), "function": flow}
    return {"command": list(flow)}


class _Nowhere:
    """A stream that keeps nothing."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        """Forget the text."""
        return len(text)

    def flush(self) -> None:
        """Do nothing."""

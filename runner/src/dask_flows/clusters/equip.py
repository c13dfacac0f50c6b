"""Teach workers that were started without our preload to send output to its run."""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from distributed import WorkerPlugin

from dask_flows.clusters.complaints import forward
from dask_flows.clusters.connect import RPC_SECONDS
from dask_flows.clusters.output import install
from dask_flows.clusters.tags import tag_all_clients, tag_new_clients

ASK_SECONDS = 10.0
NAME = "dask-flows-output"
Home = tuple[str, int]


class Equip(WorkerPlugin):
    """Does what the preload does about output; a worker that has it already stays as it is.

    Workers that share our terminal, because we have started them, write nothing twice; those in our own
    process write to our streams as they are.
    """

    name = NAME

    def __init__(self) -> None:
        self._home = _home()

    def setup(self, worker: Any) -> None:
        """Prepare one worker."""
        equip(self._home, worker)


def equip(home: Home, worker: Any) -> None:
    """Prepare a worker for the tasks of a run that lives there."""
    host = socket.gethostname()
    if home != (host, os.getpid()):
        apart = home != (host, os.getppid())
        install(echo=apart)
        if apart:
            forward(worker)
    tag_new_clients()
    tag_all_clients()


def equip_all(client: Any, *, lasting: bool) -> BaseException | None:
    """Prepare the workers; returns what kept one of them from it.

    ``lasting`` takes a scheduler that has this package, and prepares those to come, too.
    """
    if not lasting:
        return _equip_those_there(client)
    try:
        client.register_plugin(Equip())
    except Exception as error:  # noqa: BLE001 - an outside worker may lack this package
        # Left on the scheduler it would keep every new worker without this package from starting.
        with suppress(Exception):
            forget = client.scheduler.unregister_worker_plugin
            client.sync(forget, name=NAME, callback_timeout=RPC_SECONDS)
        return error
    return None


def _equip_those_there(client: Any) -> BaseException | None:
    # A worker plugin would not do: see above.
    try:
        answers = client.sync(
            client._run,  # noqa: SLF001 - its public form takes no time-out
            _teacher(),
            _home(),
            on_error="return",
            callback_timeout=ASK_SECONDS,
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on without
        return error
    return next((said for said in answers.values() if isinstance(said, BaseException)), None)


def _teacher() -> Callable[..., None]:
    """Return a function that is pickled by value, so that it fails where this package is missing, as a call."""

    def teach(home: Home, dask_worker: Any) -> None:  # Dask gives it by this name
        from dask_flows.clusters.equip import equip

        equip(home, dask_worker)

    return teach


def _home() -> Home:
    return socket.gethostname(), os.getpid()

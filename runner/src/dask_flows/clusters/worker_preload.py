"""Preload for Dask workers: leave gracefully, and bring what tasks print to their run.

``dask worker --preload dask_flows.clusters.worker_preload``. On SIGTERM Dask alone would drop the worker's
results; here it hands them to other workers first, as long as the pod's grace period allows.
"""

import asyncio
import logging
import os
import signal
import threading
from typing import Any

import dask

from dask_flows.clusters.complaints import forward, keep, told_nowhere_else
from dask_flows.clusters.output import install, uninstall
from dask_flows.clusters.tags import tag_all_clients, tag_new_clients

log = logging.getLogger("distributed.worker")

LOCAL_KEY = "dask-flows.local"
GRACE_KEY = "dask-flows.worker-grace"  # DASK_DASK_FLOWS__WORKER_GRACE
GRACE_SECONDS = 20.0  # of the pod's 30: the interpreter needs some to end
CLOSE_SECONDS = 2.0
END_SECONDS = 1.0


def dask_setup(worker: Any) -> None:
    """Prepare a worker; Dask calls this when it has started."""
    local = bool(dask.config.get(LOCAL_KEY, default=False))
    install(echo=not local)
    tag_new_clients()
    tag_all_clients()
    if not local:
        forward(worker)
    if threading.current_thread() is not threading.main_thread():
        return
    if local:
        log.addFilter(told_nowhere_else)
        logging.getLogger("distributed.worker.state_machine").setLevel(logging.ERROR)
        # A signal for the terminal's whole process group: the runner decides what happens. What tasks
        # start must not be deaf, too: programs inherit SIG_IGN, but no handler.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _leave_it_to_the_runner)
    else:
        _retire_on_sigterm(worker, float(dask.config.get(GRACE_KEY, default=GRACE_SECONDS)))


def dask_teardown(worker: Any) -> None:
    """Give the streams back."""
    keep(worker)
    uninstall()


def _leave_it_to_the_runner(number: int, frame: Any) -> None:
    """Do nothing."""


def _retire_on_sigterm(worker: Any, grace: float) -> None:
    loop = asyncio.get_running_loop()
    leaving: list[asyncio.Task[None]] = []

    def leave() -> None:
        # The second signal ends the wait: whoever sends it has none left.
        if leaving:
            leaving[0].cancel()
        else:
            leaving.append(loop.create_task(retire(worker, grace)))

    loop.add_signal_handler(signal.SIGTERM, leave)


async def retire(worker: Any, grace: float) -> None:
    """Hand the worker's results over and end the process, within the grace (s) and some seconds.

    What ``Worker.close_gracefully`` does, but without its wait for running tasks: the scheduler has given
    them to other workers by then.
    """
    log.info("SIGTERM: leaving within %g s", grace)
    stimulus = f"sigterm-{worker.name}"
    try:
        call = worker.scheduler.retire_workers(
            workers=[worker.address], close_workers=False, remove=True, stimulus_id=stimulus
        )
        await asyncio.wait_for(call, grace)
    except (TimeoutError, asyncio.CancelledError, OSError) as error:
        log.warning("left without handing everything over: %s", str(error) or type(error).__name__)
    # A task that runs on in its thread would keep the interpreter from ending.
    end = threading.Timer(CLOSE_SECONDS + END_SECONDS, os._exit, [0])
    end.daemon = True
    end.start()
    await worker.close(timeout=CLOSE_SECONDS, executor_wait=False, reason="sigterm")

"""End the processes that a run has started, when it is ended by force, and what they leave on disk."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Offspring:
    """Knows the process group of the run's command, whose processes may have lost their parents.

    Only where the run is ``alone`` in its process are all of its children the run's.
    """

    def __init__(self, *, alone: bool = True) -> None:
        self._alone = alone
        self._group: int | None = None

    def group(self, number: int | None) -> None:
        """Take the number of the group; None when it has ended."""
        self._group = number

    def end(self) -> None:
        """Kill the group, and everything that descends from this process if the run is alone in it."""
        if (group := self._group) is not None:
            with suppress(OSError):
                os.killpg(group, signal.SIGKILL)
        self._kill(lambda pid: pid != _tracker())

    def tidy(self) -> None:
        """Remove the folders of workers that were killed; their nannies do it when they come to it.

        Python's resource tracker goes now: sooner, what this process lets go of would start another one, and
        complain; left alone, it complains of what nobody has let go of.
        """
        if not self._alone:
            return
        for nanny in _nannies():
            with suppress(Exception):  # its own loop comes to the end of the process meanwhile
                if folder := nanny.worker_dir:
                    shutil.rmtree(folder, ignore_errors=True)
        self._kill(lambda pid: pid == _tracker())

    def _kill(self, which: Callable[[int], bool]) -> None:
        # Without psutil, which comes with distributed, there is no cluster: and this is no time to import.
        psutil = sys.modules.get("psutil")
        if psutil is None or not self._alone:
            return
        with suppress(Exception):
            for child in psutil.Process().children(recursive=True):
                with suppress(Exception):
                    if which(child.pid):
                        child.kill()


def _nannies() -> list[Any]:
    module = sys.modules.get("distributed.nanny")
    return list(module.Nanny._instances) if module is not None else []  # noqa: SLF001 - nobody else knows them all


def _tracker() -> int | None:
    module = sys.modules.get("multiprocessing.resource_tracker")
    return module._resource_tracker._pid if module is not None else None  # noqa: SLF001 - its only name

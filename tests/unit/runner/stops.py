"""What tests of stopping share: a process that only pretends to end, and signals to this one."""

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dask_flows.run.cause import Cause, Stopped
from dask_flows.run.stopping import Stopper


@dataclass
class End:
    """Remembers last words and exit codes instead of ending the process."""

    words: list[tuple[str, float]] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    forced: threading.Event = field(default_factory=threading.Event)

    def last_words(self, cause: Cause, seconds: float) -> None:
        self.words.append((cause.reason, seconds))

    def exit_now(self, code: int) -> None:
        self.codes.append(code)
        self.forced.set()

    def stopper(self, grace: float = 60.0, close_seconds: float | None = None) -> Stopper:
        return Stopper(
            self.last_words, exit_now=self.exit_now, grace=grace, close_seconds=close_seconds
        )


def kill(number: int = signal.SIGTERM) -> None:
    """Send a signal to this process and let it arrive."""
    signal.raise_signal(number)
    time.sleep(0)


def stopped_by(stopper: Stopper, *steps: Callable[[], Any]) -> bool:
    """Whether the steps were ended by the exception."""

    def go() -> None:
        for step in steps:
            step()

    return type(stopper.guard(go)) is Stopped


def nothing() -> None:
    """A step."""


def answering(*answer: Any) -> Callable[[], Any]:
    """Return a step that takes SIGTERM with a handler that exits, or does nothing."""

    def answers(*_: Any) -> None:
        if answer:
            raise SystemExit(*answer)

    return partial(signal.signal, signal.SIGTERM, answers)

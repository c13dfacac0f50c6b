"""The monitor: what it tells, and when it is silent."""

import threading
from types import SimpleNamespace
from typing import Any

from dask_flows.run.monitor import Monitor
from dask_flows.run.status import Status

PATIENCE = 30.0  # seconds; only a broken program needs them


class Told:
    """A terminal that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str, **_: Any) -> None:
        self.lines.append(line)

    def progress(self, *_: Any, **__: Any) -> None:
        pass


class Lookout:
    """Has one line of news, and answers only when it is let."""

    answers = False

    def __init__(self) -> None:
        self.waiting: list[str] = ["worker-0 was lost"]

    def news(self) -> list[str]:
        taken, self.waiting = self.waiting, []
        return taken


class Session:
    """A cluster that takes its time to answer."""

    def __init__(self) -> None:
        self.lookout = Lookout()
        self.asked, self.answer, self.looked = (threading.Event() for _ in range(3))

    def look(self, planned: float) -> None:
        self.asked.set()
        assert self.answer.wait(PATIENCE)
        self.lookout.waiting.append("worker-1 spills")
        self.looked.set()


def test_what_is_heard_before_the_end_is_told_and_nothing_afterwards() -> None:
    """The last lines of a run are its outcome: an answer that comes late has nothing to say any more."""
    session, ui = Session(), Told()
    stopper: Any = SimpleNamespace(stop=lambda cause: None)
    monitor = Monitor(session, Status(), stopper, ui)  # type: ignore[arg-type]
    before = threading.enumerate()  # other tests' may still be waiting for an answer

    with monitor:
        assert session.asked.wait(PATIENCE)
    assert ui.lines == ["worker-0 was lost"]
    ui.say("succeeded")
    session.answer.set()
    assert session.looked.wait(PATIENCE)
    for thread in threading.enumerate():
        if thread.name == "dask-flows-monitor" and thread not in before:
            thread.join(PATIENCE)

    assert ui.lines == ["worker-0 was lost", "succeeded"]

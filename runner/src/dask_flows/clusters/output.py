"""Bring what tasks print to the run they belong to.

On a worker, :class:`Tee` stands before ``sys.stdout`` and ``sys.stderr``: lines from task threads also go,
as events of the scheduler, to the run's client. Log records come the same way, because Python's handlers
write to these streams. A worker that prints too much is cut short; its own log has everything.
"""

import logging
import sys
import threading
from dataclasses import dataclass
from functools import partial
from typing import Any, TextIO, cast

from dask_flows.clusters.base import Hear
from dask_flows.clusters.coroutines import OneOf
from dask_flows.clusters.tags import current_task, still_runs, task_tag
from dask_flows.deadline import Clock, SystemClock

TOPIC = "dask-flows-output"
LONGEST_LINE = 8 * 1024  # characters
LINES_PER_SECOND, BURST = 200.0, 2000.0
SWEEP_SECONDS = 0.2


class Budget:
    """So many lines a second and no more; ``take`` says how many were refused before this one."""

    def __init__(self, rate: float, burst: float, clock: Clock) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left, self._at, self._refused = burst, clock.monotonic(), 0

    def take(self) -> int | None:
        """Return the number of lines refused since the last that was not; None refuses this one."""
        now = self._clock.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            self._refused += 1
            return None
        self._left -= 1
        return self.refused()

    def refused(self) -> int:
        """Return the number of lines refused since somebody was told of them."""
        refused, self._refused = self._refused, 0
        return refused


@dataclass
class _Begun:
    """A line that a task has begun and not ended."""

    worker: Any
    key: Any
    tag: str | None
    text: str

    def goes_on(self, worker: Any, key: Any) -> bool:
        """Whether a task may go on with it; of a coroutine's parts that is known by their run only."""
        if worker is not self.worker:
            return False
        vague = isinstance(self.key, OneOf) or isinstance(key, OneOf)
        return bool(self.key == key or (vague and self.tag == task_tag(worker, key)))


class Tee:
    """A text stream whose lines also go to the run of the task that writes them.

    ``own`` takes what no task wrote; ``echo`` takes what tasks wrote, None if it would be shown twice.
    A line without an end goes when its task does: with the thread's next task, or a moment later. One that a
    thread of a coroutine has begun, or a task within it, goes with the last coroutine of the run on the worker.
    """

    def __init__(
        self,
        name: str,
        own: TextIO,
        echo: TextIO | None,
        budget: Budget,
        *,
        instead_of: TextIO,
    ) -> None:
        self._name, self._own, self._echo, self._budget = name, own, echo, budget
        self.instead_of = instead_of
        self._lock = threading.RLock()
        self._begun: dict[int, _Begun] = {}  # by thread
        self._sweeping = self._telling = False

    def write(self, text: str) -> int:
        """Write, and pass complete lines on."""
        task = current_task()
        if task is None:
            return self._own.write(text)
        if self._echo is not None:
            self._echo.write(text)
        worker, key = task
        thread = threading.get_ident()
        with self._lock:
            begun = self._begun.pop(thread, None)
            if begun is not None and not begun.goes_on(worker, key):
                self._send(begun.worker, begun.tag, begun.text)
                begun = None
            tag = begun.tag if begun else task_tag(worker, key)
            *lines, rest = ((begun.text if begun else "") + text).split("\n")
            for line in lines:
                self._send(worker, tag, line)
            if rest:
                self._begun[thread] = _Begun(worker, key, tag, rest)
                self._sweep_soon(worker)
        return len(text)

    def flush(self) -> None:
        """Flush, and pass an unfinished line on."""
        with self._lock:
            begun = self._begun.pop(threading.get_ident(), None)
            if begun is not None:
                self._send(begun.worker, begun.tag, begun.text)
        for stream in (self._own, self._echo):
            if stream is not None:
                stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def _sweep_soon(self, worker: Any) -> None:
        if not self._sweeping:
            self._sweeping = True
            worker.loop.add_callback(worker.loop.call_later, SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        with self._lock:
            self._sweeping = False
            for thread, begun in list(self._begun.items()):
                if still_runs(begun.worker, begun.key):
                    self._sweep_soon(begun.worker)
                else:
                    del self._begun[thread]
                    self._send(begun.worker, begun.tag, begun.text)

    def _send(self, worker: Any, tag: str | None, line: str) -> None:
        refused = self._budget.take()
        if refused is None:
            self._tell_later(worker, tag)
            return
        self._log(worker, tag, line[:LONGEST_LINE], refused)

    def _tell_later(self, worker: Any, tag: str | None) -> None:
        """Tell of refused lines although no other line follows."""
        if not self._telling:
            self._telling = True
            tell = partial(self._tell, worker, tag)
            worker.loop.add_callback(worker.loop.call_later, SWEEP_SECONDS, tell)

    def _tell(self, worker: Any, tag: str | None) -> None:
        with self._lock:
            self._telling = False
            if refused := self._budget.refused():
                self._log(worker, tag, None, refused)

    def _log(self, worker: Any, tag: str | None, text: str | None, dropped: int) -> None:
        worker.log_event(
            TOPIC,
            {
                "name": display_name(worker.name),  # Dask sets "worker" to the address
                "tag": tag,
                "stream": self._name,
                "text": text,
                "dropped": dropped,
            },
        )


class Receiver:
    """Take the events on the client's side; ``strict`` refuses tasks without a tag."""

    def __init__(self, tag: str, hear: Hear, *, strict: bool) -> None:
        self._tag, self._hear, self._strict = tag, hear, strict

    def __call__(self, event: tuple[float, Any]) -> None:
        """Pass the line on if it is this run's."""
        message = event[1]
        tag = message.get("tag")
        if tag != self._tag and (tag is not None or self._strict):
            return
        worker, stream = str(message["name"]), str(message["stream"])
        if message.get("dropped"):
            self._hear(worker, f"… {message['dropped']} lines only in the worker's own log", stream)
        if message["text"] is not None:
            self._hear(worker, str(message["text"]), stream)


def install(*, echo: bool) -> None:
    """Put a tee before both streams, once.

    Without ``echo`` the worker shares the runner's terminal: what tasks write is not written twice, and the
    rest goes to standard error, so that standard output holds what the run says and nothing else.
    """
    out, err = sys.stdout, sys.stderr
    if isinstance(out, Tee) or isinstance(err, Tee):
        return
    budget = Budget(LINES_PER_SECOND, BURST, SystemClock())
    sys.stdout = cast(
        "TextIO", Tee("stdout", out if echo else err, out if echo else None, budget, instead_of=out)
    )
    sys.stderr = cast("TextIO", Tee("stderr", err, err if echo else None, budget, instead_of=err))
    _redirect({out: sys.stdout, err: sys.stderr})


def uninstall() -> None:
    """Give the streams back."""
    out, err = cast("Any", sys.stdout), cast("Any", sys.stderr)
    if isinstance(out, Tee) and isinstance(err, Tee):
        sys.stdout, sys.stderr = out.instead_of, err.instead_of
        _redirect({cast("TextIO", out): sys.stdout, cast("TextIO", err): sys.stderr})


def display_name(name: Any) -> str:
    """Name a worker for people; Dask numbers the workers of a local cluster."""
    return f"worker-{name}" if isinstance(name, int) else str(name)


def _redirect(streams: dict[TextIO, TextIO]) -> None:
    """Move logging's handlers along: they keep the stream they were made with."""
    known = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    for handler in dict.fromkeys(h for logger in (logging.root, *known) for h in logger.handlers):
        if isinstance(handler, logging.StreamHandler) and handler.stream in streams:
            handler.setStream(streams[handler.stream])

"""Set what belongs to the whole process for a while, by several that begin and end in any order.

What was added last holds. When nothing is left, what was there before the first comes back. A forked process
keeps the values, and owes nobody to take them back.
"""

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from dask_flows.errors import UsageError

ABSENT: Final[Any] = object()  # nothing is set
UNCHANGED: Final[Any] = object()  # put it back afterwards, whoever changes it


class Layer:
    """What one has set, and in which thread."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)
        self.thread = threading.current_thread()


class Layers:
    """Values by name; ``read`` gives ABSENT for what is not set, ``write`` takes it to remove that."""

    def __init__(self, read: Callable[[str], Any], write: Callable[[str, Any], None]) -> None:
        self._read, self._write = read, write
        self._before: dict[str, Any] = {}
        self._layers: list[Layer] = []
        self._lock = threading.RLock()
        _every.add(self)

    def add(self, values: Mapping[str, Any]) -> Callable[[], None]:
        """Set values; returns what takes them back, which may be called more than once."""
        layer = Layer(values)
        with self._lock:
            for name in layer.values:
                if name not in self._before:
                    self._before[name] = self._read(name)
            self._layers.append(layer)
            for name, value in layer.values.items():
                if value is not UNCHANGED:
                    self._write(name, value)
        return lambda: self._remove(layer)

    @contextmanager
    def added(self, values: Mapping[str, Any]) -> Iterator[None]:
        """Set values while the context lasts."""
        remove = self.add(values)
        try:
            yield
        finally:
            remove()

    def withdraw(self, thread: threading.Thread) -> None:
        """Take back all that a thread has set: it does not end."""
        for layer in [layer for layer in list(self._layers) if layer.thread is thread]:
            self._remove(layer)

    def set_elsewhere(self) -> dict[str, Any]:
        """Return what other threads have set and still holds, with what would hold without them."""
        thread, found = threading.current_thread(), {}
        with self._lock:
            for name, before in self._before.items():
                own = [one for one in self._layers if one.thread is thread]
                if self._read(name) == self._top(name, self._layers, before):
                    found[name] = self._top(name, own, before)
        return found

    def forget(self) -> None:
        """Begin anew in a forked process; a thread that held the lock is not there."""
        self._lock = threading.RLock()
        self._layers, self._before = [], {}

    def _remove(self, layer: Layer) -> None:
        with self._lock:
            if layer in self._layers:
                self._layers.remove(layer)
            for name in layer.values:
                # Also if it was withdrawn: what it closed meanwhile may have changed the value.
                if name in self._before:
                    self._write(name, self._top(name, self._layers, self._before[name]))
                    if not any(name in one.values for one in self._layers):
                        del self._before[name]

    @staticmethod
    def _top(name: str, layers: list[Layer], before: Any) -> Any:
        values = [one.values.get(name, UNCHANGED) for one in layers]
        return next((one for one in reversed(values) if one is not UNCHANGED), before)


class _Turn:
    """Whose turn it is: one run at a time, as Dask's default client and its settings are the process's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: Callable[[], Any] = _nobody

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Be the only run of this process while the context lasts; raises UsageError if there is one."""
        holder = Layer({})  # whatever interrupts this frame, the turn ends with it
        with self._lock:
            if self._holder() is not None:
                raise UsageError(
                    "another run of this process is on",
                    do="wait for it, or use a process of its own",
                )
            self._holder = weakref.ref(holder)
        try:
            yield
        finally:
            self._holder = _nobody

    def forget(self) -> None:
        """Begin anew in a forked process: the run is the parent's."""
        self._lock, self._holder = threading.Lock(), _nobody


def _nobody() -> None:
    """Hold nothing."""


_every: weakref.WeakSet[Layers] = weakref.WeakSet()
_turn = _Turn()
only_run = _turn.taken


def withdraw(thread: threading.Thread) -> None:
    """Take back all that a thread has set, and will not take back in time."""
    for layers in list(_every):
        layers.withdraw(thread)


def _forget() -> None:
    _turn.forget()
    for layers in list(_every):
        layers.forget()


os.register_at_fork(after_in_child=_forget)

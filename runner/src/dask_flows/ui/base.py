"""What a run's output must be able to do, and the words that all forms share."""

import os
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol, TextIO

LONGEST_VALUE = 500  # characters of a result that is shown


class Ui(Protocol):
    """Where a run writes; safe to use from any thread."""

    def say(self, text: str, **facts: Any) -> None:
        """Write what is being done; ``event`` among the facts names it for programs."""
        ...

    def hear(self, worker: str, text: str, stream: str) -> None:
        """Write a worker's line, with its name."""
        ...

    def progress(self, done: int, total: int, **facts: Any) -> None:
        """Show how far the tasks are; called about twice a second."""
        ...

    def fail(self, traceback: str, text: str, **facts: Any) -> None:
        """Write a failure: its traceback first, then the line that names the reason."""
        ...

    def flush(self) -> None:
        """Write what is still held back."""
        ...

    def capturing(self) -> AbstractContextManager[None]:
        """Return the context in which the user's code may write to standard output."""
        ...

    def live(self) -> AbstractContextManager[None]:
        """Return the context in which progress is shown."""
        ...

    @property
    def pipes_commands(self) -> bool:
        """Whether a command's output must come through ``output``."""
        ...

    def output(self, text: str) -> None:
        """Write a line of the flow's own."""
        ...


def counts(done: int, total: int, *, failed: int = 0, workers: int | None = None, **_: Any) -> str:
    """Tell how far the tasks are, each part behind a comma; nothing of what is not known."""
    parts = [f"{done} of {total} tasks"] if total else []
    if failed:
        parts.append(f"{failed} failed")
    if workers is not None:
        parts.append("1 worker" if workers == 1 else f"{workers} workers")
    return "".join(f", {part}" for part in parts)


def shorten(value: Any) -> str:
    """Show a value in one line of reasonable length."""
    text = repr(value) if not isinstance(value, str) else value
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def printable(text: str, stream: TextIO) -> str:
    """Return what the stream's encoding can hold."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def write_through(stream: TextIO, text: str) -> None:
    """Write and flush; a stream whose reader has gone takes no more, and the run goes on."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # Else the interpreter would fail at its end over what is left in the buffer.
        with suppress(OSError, ValueError, AttributeError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
    except (
        OSError,
        ValueError,
    ):  # a full disk, a closed stream: nothing that a flow has done wrong
        return

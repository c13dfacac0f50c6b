"""Run a command as a flow: any program, with its own ``Client()``."""

import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from dask_flows.errors import BadFlow, FlowFailed

PASS_ON_SECONDS = 3.0  # of the 5 in which an interrupted run ends


def run_command(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    hear: Callable[[str], None] | None,
    group: Callable[[int | None], None] = lambda _: None,
) -> None:
    """Run the command to its end, in a process group of its own.

    An interruption is passed on to the group, which is killed if it stays. ``hear`` takes the lines of
    its standard output; without it they go where ours go. ``group`` hears the process group, and None when
    nothing of it is left. Raises BadFlow, FlowFailed.
    """
    process = _start(command, folder, environment, piped=hear is not None)
    group(process.pid)
    reader = None
    if hear is not None and process.stdout is not None:
        reader = threading.Thread(target=_read, args=(process.stdout, hear), daemon=True)
        reader.start()
    try:
        code = process.wait()
    except KeyboardInterrupt:
        _end(process)
        raise
    finally:
        if reader is not None:
            reader.join(PASS_ON_SECONDS)
    group(None)
    if code:
        raise FlowFailed(
            f"the command {_how(code)}", where=shlex.join(command), do="see its output above"
        )


def check_command(command: Sequence[str], folder: Path, search: str | None) -> None:
    """Raise BadFlow for a command that cannot be started in this folder with this PATH."""
    if not command or not all(isinstance(word, str) for word in command) or not command[0]:
        raise BadFlow("the command is empty", where="command", do="give a program and its words")
    program = str(folder / command[0]) if os.sep in command[0] else command[0]
    if shutil.which(program, path=search) is None:
        raise BadFlow(
            f"there is no program {command[0]!r}",
            where=shlex.join(command),
            do=_advice(command[0], folder),
        )


def _advice(program: str, folder: Path) -> str:
    if program.endswith(".py") and (folder / program).is_file():
        return f"a flow is {program}:NAME; a script follows python"
    return "check its name, PATH and mode (in the cluster: the image); a flow is flow.py:main or module:main"


def _start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], *, piped: bool
) -> "subprocess.Popen[str]":
    try:
        return subprocess.Popen(  # noqa: S603 - running the user's program is the purpose
            list(command),
            cwd=folder,
            env=dict(environment),
            stdout=subprocess.PIPE if piped else None,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise BadFlow(
            f"the command cannot be started: {error}",
            where=shlex.join(command),
            do="start it with its interpreter",
        ) from None


def _read(lines: IO[str], hear: Callable[[str], None]) -> None:
    with lines:
        for line in lines:
            hear(line.rstrip("\n"))


def _end(process: "subprocess.Popen[str]") -> None:
    """Pass SIGTERM on; the group has some seconds, then it is killed."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(PASS_ON_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(PASS_ON_SECONDS)


def _how(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"

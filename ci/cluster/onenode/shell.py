"""Commands of the machine, each with a deadline."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from onenode.errors import ClusterError

DEFAULT_SECONDS = 60.0


def run(
    command: Sequence[str | Path],
    *,
    seconds: float = DEFAULT_SECONDS,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    text_in: str | None = None,
) -> str:
    """Run a command and return its standard output.

    Raises ClusterError when it cannot start, fails, or needs more than `seconds`.
    """
    done = attempt(command, seconds=seconds, env=env, cwd=cwd, text_in=text_in)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ClusterError(
            said[-1] if said else f"exit code {done.returncode}",
            where=" ".join(str(word) for word in command),
        )
    return done.stdout


def attempt(
    command: Sequence[str | Path],
    *,
    seconds: float = DEFAULT_SECONDS,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    text_in: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command whose failure the caller understands."""
    words = [str(word) for word in command]
    try:
        return subprocess.run(
            words,
            input="" if text_in is None else text_in,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env=env,
            cwd=cwd,
            check=False,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"no such command: {words[0]}", do="see `build --install`") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"no end after {seconds:.0f} s", where=" ".join(words)) from error

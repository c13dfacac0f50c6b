"""Run a command line as a flow: in a process group of its own, with the cluster in its environment."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dask_flows.errors import BadFlow, FlowFailed

KILL_AFTER = 5.0  # seconds between the first signal and SIGKILL


class Command:
    """One process group; ``signal`` may be called from any thread."""

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], folder: Path | None
    ) -> None:
        self._words = list(words)
        self._environment = dict(environment)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Run it to its end; raises BadFlow if it cannot start, FlowFailed if it ends badly."""
        text = " ".join(self._words)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - running it is what was asked for
                self._words, env=self._environment, cwd=self._folder, start_new_session=True
            )
        except OSError as error:
            raise BadFlow(
                f"cannot start the command: {error.strerror}", where=text, do="check name and image"
            ) from None
        try:
            code = self._process.wait()
        finally:
            self.end()
        if code < 0:
            raise FlowFailed(f"the command was ended by {signal.Signals(-code).name}", where=text)
        if code > 0:
            raise FlowFailed(
                f"the command exited with code {code}", where=text, do="its output is above"
            )

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def end(self) -> None:
        """Make sure that nothing of the group is left."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            self.signal(signal.SIGTERM)
            killer = threading.Timer(KILL_AFTER, self.signal, [signal.SIGKILL])
            killer.start()
            process.wait()
            killer.cancel()
        self.signal(signal.SIGKILL)  # children that outlived it

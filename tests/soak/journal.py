"""The folder of a soak, and the log of what was done in it."""

import json
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from soak.schedule import Action


class Journal:
    """Note every action with its time, its target and what came of it, on the screen and in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._begin = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "actions.jsonl").open("a")

    @property
    def now(self) -> float:
        """Seconds since the begin."""
        return time.monotonic() - self._begin

    def begin(self) -> None:
        """Count seconds from now on."""
        self._begin = time.monotonic()

    def note(self, action: Action, outcome: str, hit: str = "") -> None:
        """Note that an action has been carried out, and whom it hit."""
        about = {"planned": action.to_dict(), "hit": hit, "outcome": outcome}
        self._write(about)
        self.say(f"{action.lane:<8}{action.verb:<8}{action.target:<20}{hit or '-'}  {outcome}")

    def mark(self, text: str) -> None:
        """Note something that nobody planned."""
        self._write({"mark": text})
        self.say(text)

    def say(self, text: str) -> None:
        """Show one line."""
        with self._lock:
            print(f"{self.now:7.1f} s  {text}", file=sys.stderr, flush=True)

    def keep(self, name: str, content: Any) -> None:
        """Put a file into the folder: text as it is, anything else as JSON."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))

    def _write(self, about: dict[str, Any]) -> None:
        line = json.dumps(
            {"at": round(self.now, 3), "time": datetime.now(UTC).isoformat(), **about}
        )
        with self._lock:
            self._file.write(f"{line}\n")
            self._file.flush()

"""Counts the API calls of one user in the API server's audit log while they happen."""

import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READS = ("get", "list", "watch")
INTERVAL = 0.5
_VERB = re.compile(rb'"verb":"(\w+)"')
_OBJECT = re.compile(rb'"objectRef":\{"resource":"(\w+)"[^}]*?(?:"subresource":"(\w+)")?\}')


class Audit:
    """The calls of one user, by verb and resource (``flowruns/status``)."""

    def __init__(self, path: Path, user: str) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self._path = path
        self._user = f'"username":"{user}"'.encode()
        self._stop = threading.Event()

    @property
    def writes(self) -> Counter[tuple[str, str]]:
        """The calls that change something."""
        return Counter({key: n for key, n in self.calls.items() if key[0] not in READS})

    def count(self) -> None:
        """Follow the log, over its rotations, until told to stop; then read what is left."""
        file = self._path.open("rb")
        file.seek(0, os.SEEK_END)
        rest = b""
        last = False
        while True:
            while chunk := file.read(1 << 20):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._line(line)
            if os.fstat(file.fileno()).st_ino != self._path.stat().st_ino:
                file.close()
                file, rest = self._path.open("rb"), b""
            elif last:
                file.close()
                return
            else:
                last = self._stop.wait(INTERVAL)

    def stop(self) -> None:
        """Let :meth:`count` return once it has read everything."""
        self._stop.set()

    def _line(self, line: bytes) -> None:
        if self._user not in line or b"dryRun=All" in line:  # which changes nothing
            return
        verb, obj = _VERB.search(line), _OBJECT.search(line)
        if verb and obj:
            resource = obj[1] + (b"/" + obj[2] if obj[2] else b"")
            self.calls[verb[1].decode(), resource.decode()] += 1


def log_path() -> Path:
    """Return the audit log of our own cluster."""
    return Path(os.environ["KUBECONFIG"]).parent / "log" / "audit.log"


@contextmanager
def counting(user: str) -> Iterator[Audit]:
    """Count in a thread of its own."""
    audit = Audit(log_path(), user)
    thread = threading.Thread(target=audit.count, name="audit", daemon=True)
    thread.start()
    try:
        yield audit
    finally:
        audit.stop()
        thread.join(30)

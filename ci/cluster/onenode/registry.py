"""A registry of one push: takes an image over loopback, and only the layers the node lacks.

A store's own archive formats hold every layer. A push asks first (HEAD) which blobs are there, so
after a change of the last layer it sends only that. This is the part of the OCI distribution
protocol that `buildah push` uses; it lives as long as one push, and keeps nothing in memory.
"""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20
HEX = re.compile(r"[0-9a-f]{64}$")
BLOB = re.compile(r"/v2/.+/blobs/sha256:([0-9a-f]{64})$")
MANIFEST = re.compile(r"/v2/.+/manifests/[^/]+$")
UPLOAD = re.compile(r"/v2/.+/blobs/uploads/([0-9a-z]*)")


@dataclass
class Push:
    """Collect what one push brings: blobs as files named by digest, and the manifest.

    `known` returns the size of a blob that the node has already, by hexadecimal digest.
    """

    folder: Path
    known: Callable[[str], int | None]
    manifest: bytes = b""
    media_type: str = ""
    _count: Iterator[int] = field(default_factory=count)

    def new_upload(self) -> str:
        return f"upload{next(self._count)}"

    def path(self, name: str) -> Path:
        return self.folder / name

    def size(self, digest: str) -> int | None:
        path = self.path(digest)
        return path.stat().st_size if path.exists() else self.known(digest)

    def blobs(self) -> dict[str, Path]:
        """Return what was sent, by digest."""
        return {path.name: path for path in self.folder.iterdir() if HEX.match(path.name)}

    def append(self, upload: str, source: BinaryIO, size: int | None) -> None:
        """Add a request's body to an upload; without a size the body comes in chunks."""
        with self.path(upload).open("ab") as file:
            for piece in _body(source, size):
                file.write(piece)

    def finish(self, upload: str, digest: str) -> bool:
        """Name a complete upload by its digest; return whether the digest is right."""
        path = self.path(upload)
        path.touch()
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            path.unlink()
            return False
        path.rename(self.path(digest))
        return True


def _body(source: BinaryIO, size: int | None) -> Iterator[bytes]:
    if size is not None:
        while size > 0 and (piece := source.read(min(size, CHUNK))):
            size -= len(piece)
            yield piece
        return
    while length := int(source.readline().split(b";")[0], 16):
        yield source.read(length)
        source.readline()
    source.readline()


class _Handler(BaseHTTPRequestHandler):
    """Speak the push half of the distribution protocol."""

    protocol_version = "HTTP/1.1"
    push: Push

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/v2/" else 404)

    def do_HEAD(self) -> None:
        found = BLOB.match(self.path)
        size = self.push.size(found[1]) if found else None
        if size is None:
            self._answer(404)
        else:  # the pusher writes this size into the manifest
            self._answer(200, **{"Content-Length": str(size)})

    def do_POST(self) -> None:
        self._drain()
        name = self.path.split("?")[0].rstrip("/")
        self._answer(202, Location=f"{name}/{self.push.new_upload()}")

    def do_PATCH(self) -> None:
        upload = UPLOAD.match(self.path)
        assert upload
        self.push.append(upload[1], self.rfile, self._size())  # type: ignore[arg-type]
        end = self.push.path(upload[1]).stat().st_size - 1
        self._answer(202, Location=self.path, Range=f"0-{end}")

    def do_PUT(self) -> None:
        if MANIFEST.match(self.path):
            self.push.manifest = self.rfile.read(self._size() or 0)
            self.push.media_type = self.headers["Content-Type"]
            digest = hashlib.sha256(self.push.manifest).hexdigest()
            self._answer(201, **{"Docker-Content-Digest": f"sha256:{digest}"})
            return
        upload = UPLOAD.match(self.path)
        digest = self.path.rpartition("sha256%3A")[2] or self.path.rpartition("sha256:")[2]
        assert upload
        self.push.append(upload[1], self.rfile, self._size())  # type: ignore[arg-type]
        self._answer(201 if self.push.finish(upload[1], digest) else 400)

    def _size(self) -> int | None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            return None
        return int(self.headers.get("Content-Length") or 0)

    def _drain(self) -> None:
        self.rfile.read(self._size() or 0)

    def _answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: the caller reports."""


@contextmanager
def serving(push: Push, port: int) -> Iterator[None]:
    """Serve one push on loopback."""
    handler = type("Handler", (_Handler,), {"push": push})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""Counts what flows say about themselves: a flow's own side effect, outside of everything that is tested.

A flow that ends with :func:`confession` tells a server of the test's process that it has begun, once for
each process that imports it with an attempt's files at hand: the runner does, workers do not.
"""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from invariants.evidence import Start

TELL = """

def _tell_that_it_begins():
    import json, os, pathlib, socket, urllib.request
    attempt = pathlib.Path("{attempt}")
    if not attempt.exists():
        return
    said = json.loads(attempt.read_text())
    body = json.dumps(dict(uid=said["uid"], attempt=said["attempt"], pod=socket.gethostname()))
    urllib.request.urlopen("{url}", body.encode(), timeout=10).read()


_tell_that_it_begins()
"""
ATTEMPT = "/etc/dask-flows/attempt/attempt.json"


class Counter:
    """Starts of flows, as they were told."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.starts: list[Start] = []
        self.counted: set[str] = set()  # UIDs of FlowRuns whose flow tells

    def confession(self) -> str:
        """Return the end of a module that tells when it begins."""
        return TELL.format(attempt=ATTEMPT, url=self.url)

    def note(self, body: Any) -> None:
        """Note what a flow has told."""
        self.starts.append(Start(str(body["uid"]), int(body["attempt"]), str(body["pod"])))


@contextmanager
def counting(address: str) -> Iterator[Counter | None]:
    """Yield a counter at an address that pods reach; None if it is not an address of this machine."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            yield None
            return
        port = probe.getsockname()[1]
    counter = Counter(f"http://{address}:{port}/")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Take one flow's word."""
            counter.note(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Stay quiet."""

    with ThreadingHTTPServer((address, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield counter
        finally:
            server.shutdown()
            thread.join(10)

"""A sign of life of the scheduler's process, given by a thread of its own.

An event loop that reads a large graph answers nobody meanwhile, and whoever asks it cannot tell that from death.
This thread answers every connection with one line: whose it is, and how long ago the loop turned. It reads
nothing and tells nothing else, so it needs no TLS.
"""

import asyncio
import json
import logging
import socket
import threading
from typing import Any

import dask
from distributed.comm.addressing import get_address_host

from dask_flows.deadline import Clock, SystemClock

log = logging.getLogger("distributed.scheduler")

HANDLER = "dask_flows_pulse"
PORT_KEY = "dask-flows.pulse-port"  # DASK_DASK_FLOWS__PULSE_PORT; 0 takes any
TURN_SECONDS = 0.25
SEND_SECONDS = 1.0
PAUSE_SECONDS = 0.1


class Pulse:
    """The thread; ``turn`` is called by the loop, all else may be called from anywhere."""

    def __init__(self, identity: str, listener: socket.socket, clock: Clock) -> None:
        self._identity, self._listener, self._clock = identity, listener, clock
        self._turned = clock.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="dask-flows-pulse", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def turn(self) -> None:
        """Note that the loop turns."""
        self._turned = self._clock.monotonic()

    def close(self) -> None:
        """Stop answering."""
        self._closed.set()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # ends the accept; close alone would not
        except OSError:
            return
        finally:
            self._listener.close()

    def _serve(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(SEND_SECONDS)
                    connection.sendall(self._line())
            except (
                OSError
            ):  # of one who has gone already, of the closed listener, or without file handles
                self._closed.wait(PAUSE_SECONDS)

    def _line(self) -> bytes:
        age = max(0.0, self._clock.monotonic() - self._turned - TURN_SECONDS)
        return json.dumps({"id": self._identity, "age": round(age, 3)}).encode() + b"\n"


def start_pulse(scheduler: Any, clock: Clock | None = None) -> Pulse | None:
    """Let the scheduler's process give signs of life, and tell clients where; None if it cannot listen."""
    host = _host_of(scheduler)
    port = int(dask.config.get(PORT_KEY, default=0))
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        # Runs then take the scheduler for one without a pulse: they wait longer before they give it up.
        log.warning("no signs of life on port %s: %s", port, error)
        return None
    pulse = Pulse(scheduler.id, listener, clock or SystemClock())
    pulse.start()
    told = {"host": host, "port": pulse.port, "id": scheduler.id}
    scheduler.handlers[HANDLER] = lambda: told
    loop = asyncio.get_running_loop()

    def turn() -> None:
        pulse.turn()
        loop.call_later(TURN_SECONDS, turn)

    turn()
    return pulse


def _host_of(scheduler: Any) -> str:
    """Return the address that workers use: it is reachable where the scheduler is, and nowhere else."""
    host: Any = get_address_host
    return str(host(scheduler.address))

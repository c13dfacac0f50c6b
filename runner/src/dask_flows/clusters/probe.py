"""Ask whether a scheduler's process is alive, with means that need neither its event loop nor the client's."""

import json
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from dask_flows.clusters.connect import answers, rpc
from dask_flows.clusters.pulse import HANDLER

# Takes at most so many seconds; returns for how many the scheduler's loop has not turned, None for no answer.
Probe = Callable[[float], float | None]

FIRST_SECONDS = 1.0
LONGEST_LINE = 1024


def find_pulse(client: Any, address: str) -> Probe | None:
    """Return what asks the scheduler's pulse; None if it has none, or none that can be reached from here."""
    told = rpc(client, HANDLER)
    if not isinstance(told, dict):
        return None
    # Its own address first: the one we came by may be a Service, which knows only Dask's ports.
    for host in dict.fromkeys((str(told.get("host")), _host(address))):
        probe = partial(ask_pulse, host, int(told.get("port") or 0), str(told.get("id")))
        if probe(FIRST_SECONDS) is not None:
            return probe
    return None


def ask_pulse(host: str, port: int, identity: str, seconds: float) -> float | None:
    """Ask a pulse; None if it does not answer in time, or is another scheduler's."""
    try:
        with socket.create_connection((host, port), seconds) as connection:
            connection.settimeout(seconds)
            line = connection.makefile("rb").readline(LONGEST_LINE)
        told = json.loads(line)
        return float(told["age"]) if told["id"] == identity else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def shake_hands(client: Any, address: str) -> Probe:
    """Return what asks a scheduler without a pulse: Dask's handshake, for which its loop must turn."""

    def probe(seconds: float) -> float | None:
        return 0.0 if answers(address, seconds, client.security) else None

    return probe


def _host(address: str) -> str:
    return address.partition("://")[2].rpartition(":")[0].strip("[]")

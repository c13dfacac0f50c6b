"""Reach a scheduler and wait for its workers, each within a deadline.

An open port proves nothing here: kube-proxy answers for Services without a pod, and a scheduler listens
before it serves. So only Dask's own handshake counts.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from dask_flows.clusters.base import Say
from dask_flows.deadline import Deadline
from dask_flows.errors import ClusterTimeout, UsageError

# Seconds for one try. Dask pauses longer and longer within a try, so tries are short as long as nobody is
# there; one that is there and slow gets more time with each.
SHORTEST, LONGEST = 0.5, 8.0
PAUSE = 0.1
LATER = 0.25
RPC_SECONDS = 2.0
USABLE = ("running", "paused")  # states of workers, in Dask's words


def full_address(address: str) -> str:
    """Return the address with its protocol; raises UsageError if it cannot be one."""
    whole = address if "://" in address else f"tcp://{address}"
    scheme, _, rest = whole.partition("://")
    _host, colon, port = rest.rpartition(":")
    if scheme not in ("tcp", "tls", "ws", "wss") or not colon or not port.isdecimal() or not _host:
        raise UsageError(
            f"{address!r} is not the address of a Dask scheduler",
            where="--address, DASK_SCHEDULER_ADDRESS",
            do="write it like tcp://host:8786",
        )
    return whole


def open_client(
    address: str,
    deadline: Deadline,
    *,
    patience: float,
    options: Mapping[str, Any] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Any:
    """Return a client of the scheduler, made with the options; it reconnects for ``patience`` seconds.

    Raises ClusterTimeout.
    """
    from distributed import Client

    make: Any = Client  # distributed is typed in part
    options = options or {}
    tries, said, slice_ = 0, "nothing was tried", SHORTEST
    while not deadline.expired or not tries:
        tries += 1
        seconds = max(SHORTEST, min(slice_, deadline.remaining()))
        try:
            # A Client waits for ever for a peer that takes the connection and says nothing.
            asyncio.run(_shake_hands(address, seconds, options.get("security")))
            client = make(address, timeout=seconds, **options)
        except OSError as error:  # a TimeoutError is one, too
            cause = _cause(error)
            said = str(cause) or said_nothing(address)
            if not isinstance(cause, ConnectionRefusedError):
                slice_ = min(LONGEST, slice_ * 2)
            sleep(min(PAUSE, deadline.remaining()))
        else:
            # What was the time-out for the first connection is the one for later ones, too.
            client._timeout = patience  # noqa: SLF001
            return client
    raise ClusterTimeout(
        f"no Dask scheduler answered within {deadline.seconds:g} s: {said} ({tries} tries)",
        where=address,
        do="check that the scheduler runs and that the address is right",
    )


def wait_for_workers(
    client: Any,
    minimum: int,
    deadline: Deadline,
    say: Say,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Wait for the least number of workers; returns how many there are. Raises ClusterTimeout."""
    last = -1
    while True:
        count = count_workers(client)
        if count is not None and count != last:
            say(
                _told(count, minimum, deadline.elapsed),
                workers=count,
                minimum=minimum,
                seconds=round(deadline.elapsed, 2),
            )
            last = count
        if last >= minimum:
            return last
        if deadline.expired or client.status == "closed":
            break
        sleep(min(PAUSE, deadline.remaining()))
    raise ClusterTimeout(
        f"{max(0, last)} of {minimum} workers were ready within {deadline.seconds:g} s",
        where=client.scheduler.address if client.scheduler else "the scheduler is gone",
        do="see why worker pods do not start, or ask for fewer workers",
    )


def _told(count: int, minimum: int, seconds: float) -> str:
    noun = "worker" if count == 1 else "workers"
    if count >= minimum:
        return f"{count} {noun} ready in {seconds:.1f} s (minimum {minimum})"
    return f"{count} {noun} after {seconds:.1f} s, waiting for {minimum}"


def count_workers(client: Any) -> int | None:
    """Return how many workers of the scheduler are usable; None if it does not say.

    One that joins, leaves or is held gets no tasks; one that pauses for its memory comes back.
    """
    cores, running = rpc(client, "ncores"), rpc(client, "ncores_running")
    if cores is None or running is None or len(running) == len(cores):
        return None if cores is None else len(cores)
    known = rpc(client, "identity")  # it is large, so it comes last
    if not isinstance(known, Mapping):
        return len(running)
    return sum(worker.get("status") in USABLE for worker in known["workers"].values())


def register(client: Any, plugin: Any, seconds: float) -> None:
    """Give the scheduler a plugin; raises whatever keeps it from taking it, a TimeoutError after the time (s)."""
    from distributed.protocol import pickle

    pickled: Any = pickle
    client.sync(
        client.scheduler.register_scheduler_plugin,
        plugin=pickled.dumps(plugin),
        name=plugin.name,
        idempotent=plugin.idempotent,
        callback_timeout=seconds,
    )


def rpc(client: Any, name: str, **arguments: Any) -> Any:
    """Ask the scheduler; None if it has no answer in time or does not know the question."""
    if client.status != "running":
        return None
    try:
        call = getattr(client.scheduler, name)
        return client.sync(call, **arguments, callback_timeout=RPC_SECONDS)
    except Exception:  # noqa: BLE001 - whatever goes wrong here is no reason to fail a flow
        return None


def said_nothing(address: str) -> str:
    """Return what is known of a scheduler whose handshake took too long: a busy machine is slow, too."""
    host, _, port = address.partition("://")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), RPC_SECONDS).close()
    except TimeoutError:
        return "it takes no connections within some seconds"
    except (OSError, ValueError) as error:
        return str(error)
    return "it takes connections and does not answer"


def answers(address: str, seconds: float, security: Any) -> bool:
    """Whether a scheduler's event loop takes part in Dask's handshake within so many seconds."""
    try:
        asyncio.run(_shake_hands(address, seconds, security))
    except Exception:  # noqa: BLE001 - whatever keeps it from that, it has not answered
        return False
    return True


async def _shake_hands(address: str, seconds: float, own_security: Any) -> None:
    from distributed.comm.core import connect
    from distributed.security import Security

    call: Any = connect
    security: Any = Security
    known = (own_security or security()).get_connection_args("client")
    # Dask's own time-out comes first: it knows the reason.
    comm = await asyncio.wait_for(call(address, timeout=seconds, **known), seconds + LATER)
    await comm.close()


def _cause(error: BaseException) -> BaseException:
    """Return the innermost reason: Dask wraps "connection refused" several times."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error

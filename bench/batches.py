"""Time batches of tiny tasks in programs that live side by side and take turns of a second or two.

A pair is one batch in each of two programs, so what the machine does meanwhile falls on both. The order in a
round is random; the seed makes it the same each time.
"""

import random
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

PATIENCE = 120.0  # seconds for a start, or for one batch

FLOW = """
import socket, sys, time
from distributed import Client, LocalCluster, get_client

def inc(x):
    return x + 1

def serve(port: int) -> None:
    client = get_client()
    client.gather(client.map(inc, range(-500, 0)))  # warm
    with socket.create_connection(("127.0.0.1", port)) as connection:
        calls, answers, first = connection.makefile("r"), connection.makefile("w"), 0
        while line := calls.readline():
            numbers = range(first, first + int(line))
            first += int(line)
            begin = time.perf_counter()
            client.gather(client.map(inc, numbers))
            print(time.perf_counter() - begin, file=answers, flush=True)

def plain(port: int) -> None:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster):
        serve(port)

if __name__ == "__main__":
    plain(int(sys.argv[1]))
"""
SCRIPT = (sys.executable, "flow.py", "{port}")
MODULE = (sys.executable, "-c", "import flow; flow.plain({port})")


def through_us(flow: str, *more: str) -> tuple[str, ...]:
    """Return the command that runs the same through ``dask-flows run``."""
    run = (sys.executable, "-m", "dask_flows", "run", flow, "-p", "port={port}")
    return (*run, "--workers", "2", "--threads", "1", *more)


def seconds_of(
    folder: Path, ways: Mapping[str, Sequence[str]], *, tasks: int, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of each batch by way, in the order of the rounds."""
    (folder / "flow.py").write_text(FLOW)
    order, shuffled = list(ways), random.Random(1)
    took: dict[str, list[float]] = {name: [] for name in ways}
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(_program(folder, words)) for name, words in ways.items()
        }
        for _ in range(rounds):
            shuffled.shuffle(order)
            for name in order:
                calls, answers = started[name]
                print(tasks, file=calls, flush=True)
                took[name].append(float(answers.readline()))
    return took


@contextmanager
def _program(folder: Path, words: Sequence[str]) -> Iterator[tuple[TextIO, TextIO]]:
    """Start a program and talk to it: what is written are numbers of tasks, what is read are seconds."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(PATIENCE)
        port = str(listener.getsockname()[1])
        log = stack.enter_context((folder / f"{port}.log").open("w"))
        command = [word.replace("{port}", port) for word in words]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        stack.callback(process.wait, PATIENCE)
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            process.kill()
            raise SystemExit(f"{command}\n{Path(log.name).read_text()}") from None
        stack.enter_context(connection)
        connection.settimeout(PATIENCE)
        with connection.makefile("w") as calls, connection.makefile("r") as answers:
            yield calls, answers

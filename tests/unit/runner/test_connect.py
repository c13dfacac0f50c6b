"""Rules of reaching a cluster: by what address, and what is said when it does not answer."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dask_flows import clusters
from dask_flows.clusters import Wanted
from dask_flows.clusters.connect import count_workers, full_address
from dask_flows.clusters.local import sizes
from dask_flows.deadline import Deadline, SystemClock
from dask_flows.errors import ClusterTimeout, UsageError

CLOCK = SystemClock()


@pytest.mark.parametrize(
    ("address", "whole"),
    [
        ("tcp://h:8786", "tcp://h:8786"),
        ("h:8786", "tcp://h:8786"),
        ("tls://h:8786", "tls://h:8786"),
        ("tcp://[::1]:8786", "tcp://[::1]:8786"),
    ],
)
def test_an_address_may_leave_out_tcp(address: str, whole: str) -> None:
    """People write host:port."""
    assert full_address(address) == whole


@pytest.mark.parametrize(
    "address", ["", "h", "tcp://h", "http://h:8786", "tcp://:8786", "h:x", "8786"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    """At once, not after the time-out."""
    with pytest.raises(UsageError, match="not the address"):
        full_address(address)


@pytest.mark.parametrize(
    ("asked", "size"),
    [({"workers": 3, "threads": 2}, (3, 2)), ({"workers": 1, "threads": 1}, (1, 1))],
)
def test_a_local_cluster_is_as_large_as_asked(asked: dict[str, int], size: tuple[int, int]) -> None:
    """Without a wish Dask counts what the container allows."""
    assert sizes(Wanted(mode="local", tag="t", **asked)) == size
    assert min(sizes(Wanted(mode="local", tag="t"))) >= 1
    assert sizes(Wanted(mode="local", tag="t", threads=1))[1] == 1


@pytest.mark.parametrize("asked", [{"workers": 0}, {"threads": -1}])
def test_a_size_that_is_none_is_refused(asked: dict[str, int]) -> None:
    """With the flag's name."""
    with pytest.raises(UsageError, match="give 1 or more"):
        sizes(Wanted(mode="local", tag="t", **asked))


def attach(mode: str, address: str, seconds: float, **asked: Any) -> list[str]:
    """Connect and leave; returns what was said."""
    said: list[str] = []
    wanted = Wanted(mode=mode, tag="t", address=address, **asked)
    with clusters.attach(
        wanted,
        deadline=Deadline(seconds, CLOCK),
        clock=CLOCK,
        say=lambda text, **_: said.append(text),
        hear=lambda *_: None,
    ):
        return said


def test_nobody_there_is_said_in_time(caplog: pytest.LogCaptureFixture) -> None:
    """With the address, the reason and the number of tries; nothing else is logged."""
    begin = time.monotonic()

    with pytest.raises(ClusterTimeout) as caught:
        attach("static", "tcp://127.0.0.1:9", 3.0)  # a busy machine needs more than one try

    assert time.monotonic() - begin < 15
    assert "127.0.0.1:9" in str(caught.value)
    assert "refused" in str(caught.value)
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []


def test_an_open_port_is_no_scheduler() -> None:
    """kube-proxy and a dying scheduler take connections, too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        begin = time.monotonic()
        try:
            with pytest.raises(ClusterTimeout):
                attach("static", f"tcp://127.0.0.1:{listener.getsockname()[1]}", 1.5)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in taken:
                one.close()
    assert time.monotonic() - begin < 8


def test_a_scheduler_without_workers_is_said(start_dask: Callable[[int], Any]) -> None:
    """How many there are, how many were wanted."""
    alone = start_dask(0)
    attach("static", alone.address, 60.0, minimum=0)

    with pytest.raises(ClusterTimeout, match="0 of 2 workers"):
        attach("static", alone.address, 1.0, minimum=2)


class Counted:
    """A client of a scheduler that knows these workers, by the states that Dask gives them."""

    status = "running"

    def __init__(self, states: list[str], *, unknown: bool = False) -> None:
        self.scheduler = self
        self._states, self._unknown = dict(enumerate(states)), unknown

    def sync(self, call: Any, **_: Any) -> Any:
        return call()

    def ncores(self) -> dict[int, int]:
        return dict.fromkeys(self._states, 1)

    def ncores_running(self) -> dict[int, int]:
        if self._unknown:
            raise ValueError("unknown operation")
        return {one: 1 for one, state in self._states.items() if state == "running"}

    def identity(self) -> dict[str, Any]:
        return {"workers": {one: {"status": state} for one, state in self._states.items()}}


@pytest.mark.parametrize(
    ("states", "unknown", "count"),
    [
        ([], False, 0),
        (["running"] * 2, False, 2),
        (["init"], False, 0),
        (["running", "init", "paused", "closing_gracefully"], False, 2),
        (["running", "init"], True, 2),
    ],
)
def test_only_usable_workers_count(states: list[str], unknown: bool, count: int) -> None:
    """Held, joining and leaving ones get no tasks; a scheduler that knows no states counts all."""
    assert count_workers(Counted(states, unknown=unknown)) == count


def test_phases_are_said_with_their_times(dask: Any) -> None:
    """So that people see where the time goes."""
    said = attach("static", dask.address, 60.0, minimum=2, dashboard="http://d")

    assert said[0] == f"cluster static at {dask.address}, dashboard http://d"
    assert said[1].startswith("scheduler ready in ")
    assert said[-1].startswith("2 workers ready in ")
    assert said[-1].endswith(" s (minimum 2)")

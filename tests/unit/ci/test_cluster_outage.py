"""An outage of one component ends, whatever happens meanwhile."""

from pathlib import Path

import pytest
from onenode.cluster import Cluster
from onenode.paths import Paths
from onenode.progress import Progress


class Interrupted:
    """A clock whose user loses patience."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float, /) -> None:
        self.slept.append(seconds)
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), SystemExit(143)])
def test_what_was_stopped_starts_again(error, monkeypatch):
    """Also when the program is told to end while it waits."""
    did: list[tuple[str, str]] = []
    monkeypatch.setattr(Cluster, "_stop", lambda _, wave: did.append(("stop", wave[0].name)))
    monkeypatch.setattr(Cluster, "_start", lambda _, wave: did.append(("start", wave[0].name)))
    clock = Interrupted(error)
    cluster = Cluster(Paths(cache=Path("/a"), cluster=Path("/a/c")), Progress(), clock)

    if error is None:
        cluster.outage("apiserver", 4)
    else:
        with pytest.raises(type(error)):
            cluster.outage("apiserver", 4)

    assert did == [("stop", "apiserver"), ("start", "apiserver")]
    assert clock.slept == [4]

"""Very many runs at once and an agent that ends among them, on fake nodes; the bench does it with 10,000."""

import pytest

from kube import eventually
from kwok.burst import create_all, watching
from kwok.driver import Play, playing
from kwok.site import has_kwok, site, start_kwok

RUNS, LIMIT = 1000, 100
READY = 30.0  # seconds; 10 are promised, and others use these two cores
MEMORY = 200  # MiB


@pytest.fixture(scope="module", autouse=True)
def fake_nodes() -> None:
    """Fake nodes, started if they are not there."""
    if not has_kwok():
        start_kwok()


@pytest.mark.full
def test_a_burst_and_a_restart() -> None:
    """Row 26: the agent is killed among a thousand runs: none is started twice, lost, or over the limit."""
    limits = {"maxConcurrentRuns": LIMIT, "rateLimit": {"createsPerSecond": 200}}
    with (
        site("burst", agent=limits) as here,
        playing(here.namespace, lambda _: Play(seconds=0.2)) as driver,
        here.agent() as agent,
        watching(here.namespace) as seen,
    ):
        create_all(here.namespace, [f"burst-{n}" for n in range(RUNS)])
        eventually(lambda: seen.phases["Succeeded"] > RUNS / 4, 600, lambda: str(seen.phases))

        assert agent.restart() < READY
        eventually(lambda: seen.phases["Succeeded"] == RUNS, 900, lambda: str(seen.phases))

        assert len(driver.starts) == RUNS
        assert set(driver.starts.values()) == {1}
        assert 0 < seen.most_active <= LIMIT
        assert agent.peak_mib() < MEMORY
        here.check(driver, agent)

"""The agent as a process, and a relay between it and a real API server that refuses, or falls silent."""

import threading
import time
from collections.abc import Iterator

import pytest

from kube import eventually
from kwok.agent import AgentProcess
from kwok.driver import Driver, Play, playing
from kwok.relay import Relay, relay
from kwok.site import Site, site

pytestmark = pytest.mark.usefixtures("fake_nodes")

REFUSED = 12.0  # seconds
NOTICED = 75.0  # seconds until a silent watch is begun anew
BACK = 15.0  # seconds until what has waited goes on
HEADERS = {503: {}, 429: {"Retry-After": "5"}, 401: {}}
FOREVER = Play(ends=False)


@pytest.fixture(scope="module")
def road() -> Iterator[Relay]:
    """What the agent takes for the API server."""
    with relay() as found:
        yield found


@pytest.fixture(scope="module")
def here(road: Relay) -> Iterator[Site]:
    """A namespace whose agent goes through it."""
    with site("roads") as found:
        found.go_through(road.url)
        yield found


@pytest.fixture(scope="module")
def driver(here: Site) -> Iterator[Driver]:
    """Who plays its runners; those that are to be long wait to be told."""
    with playing(
        here.namespace, lambda run: FOREVER if run.run.startswith("long") else Play(seconds=0.2)
    ) as found:
        yield found


@pytest.mark.parametrize("code", HEADERS)
def test_an_api_server_that_refuses(
    here: Site, agent: AgentProcess, driver: Driver, road: Relay, code: int
) -> None:
    """Row 13: asked again and again, but not often; afterwards runs go on, in the same attempt and with the same agent."""
    long, new = f"long-{code}", f"new-{code}"
    here.create(long)
    here.kube.wait_run(long, "Running")
    road.refuse(code, HEADERS[code])
    before = len(road.asked)
    here.create(new)
    threading.Event().wait(REFUSED)
    asked = len(road.asked) - before
    road.relent()

    here.kube.wait_run(new, "Running", "Succeeded", timeout=BACK)
    driver.end(driver.of(long)[0])
    assert here.kube.wait_run(long, timeout=BACK)["attempt"] == 1
    assert 4 < asked < 4 * REFUSED
    here.check(driver, agent)
    assert agent.starts == 1


def test_a_watch_that_falls_silent(
    here: Site, agent: AgentProcess, driver: Driver, road: Relay
) -> None:
    """Row 14: connections that stay open and bring nothing are noticed within 75 s."""
    here.create("heard")
    here.kube.wait_run("heard")
    road.fall_silent()
    silent = time.monotonic()
    here.create("unheard")
    eventually(lambda: here.kube.run_status("unheard").get("phase"), NOTICED)
    assert time.monotonic() - silent > 5, "the relay was not silent"
    here.kube.wait_run("unheard", timeout=BACK)
    here.check(driver, agent)
    assert agent.starts == 1

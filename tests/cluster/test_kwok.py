"""The agent as a process against a real API server; nodes are fake and runners are played (``tests/kwok``)."""

import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest

from dask_flows.kube.resources import NETWORK_POLICIES, SERVICES
from kube import eventually
from kwok.agent import AgentProcess
from kwok.burst import create_all, watching
from kwok.census import census
from kwok.driver import Driver, Play, copy_of, playing
from kwok.nodes import LABEL, cut_off, own_nodes, remove
from kwok.site import ON_KWOK, Site, site

pytestmark = pytest.mark.usefixtures("fake_nodes")

LIMIT = 40
FOREVER = Play(ends=False)
KIB = 1024
STORAGE = "put the data into storage and pass its address"


def sized(size: int) -> dict[str, Any]:
    """Return parameters that are so many bytes of JSON."""
    return {"x": "y" * (size - len('{"x": ""}'))}


def nested(levels: int) -> dict[str, Any]:
    """Return parameters of so many levels, their own included."""
    inner: Any = None
    for _ in range(levels):
        inner = {"x": inner}
    return dict(inner)


# What a run is given, and what its status says against it, if anything.
PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "nulls": ({"x": None, "y": [None, {"z": None}]}, ""),
    "64kib": (sized(64 * KIB), ""),
    "64kib-and-1": (sized(64 * KIB + 1), "parameters are 65 KiB, at most 64 are possible"),
    "65kib": (sized(65 * KIB), "parameters are 65 KiB, at most 64 are possible"),
    "300kib": (sized(300 * KIB), "parameters are 300 KiB, at most 64 are possible"),
    "1331kib": (sized(1331 * KIB), "parameters are 1331 KiB, at most 64 are possible"),
    "unicode": ({"ß": "語𝄞\u0000\u2028" * 1000}, ""),
    "unicode-of-60kib": ({"x": "ß" * 30 * KIB}, ""),
    "unicode-of-80kib": ({"x": "ß" * 40 * KIB}, "parameters are 81 KiB, at most 64 are possible"),
    "deep": (nested(500), ""),
    "too-deep": (nested(600), "parameters are nested more than 500 levels deep"),
}


@pytest.fixture(scope="module")
def here() -> Iterator[Site]:
    """A namespace for this module."""
    limits = {"maxConcurrentRuns": LIMIT, "rateLimit": {"createsPerSecond": 200}}
    with site("faults", agent=limits) as found:
        yield found


@pytest.fixture(scope="module")
def played(here: Site) -> Iterator[Driver]:
    """Who plays its runners."""
    with playing(here.namespace) as found:
        yield found


@pytest.fixture
def driver(here: Site, agent: AgentProcess, played: Driver) -> Iterator[Driver]:
    """The same, all runs succeeding unless the test says otherwise; afterwards all invariants hold."""
    played.behave = lambda _: Play(seconds=0.2)
    yield played
    here.check(played, agent)


def test_a_burst(here: Site, driver: Driver) -> None:
    """200 runs at once all succeed, each started once, never more active than the limit."""
    with watching(here.namespace) as seen:
        create_all(here.namespace, [f"burst-{n}" for n in range(200)])
        eventually(lambda: seen.phases["Succeeded"] == 200, 300, lambda: str(seen.phases))

    assert set(driver.starts.values()) == {1}
    assert 0 < seen.most_active <= LIMIT


def test_a_burst_makes_no_more_clusters_than_places() -> None:
    """Row 26: sixty runs at once that want clusters of their own, and five places: never six clusters, however late a watch."""
    ephemeral = {"minimum": 1, "maximum": 1}
    with (
        site("places", mode="ephemeral", agent={"maxConcurrentRuns": 5}, ephemeral=ephemeral) as of,
        playing(of.namespace, lambda _: Play(seconds=0.2)) as driver,
        of.agent() as agent,
        watching(of.namespace) as seen,
        census(of.namespace, SERVICES) as services,
        census(of.namespace, NETWORK_POLICIES) as policies,
    ):
        create_all(of.namespace, [f"burst-{n}" for n in range(60)])
        eventually(lambda: seen.phases["Succeeded"] > 20, 120, lambda: str(seen.phases))
        agent.restart()
        eventually(lambda: seen.phases["Succeeded"] == 60, 240, lambda: str(seen.phases))
        eventually(lambda: not services.present | policies.present, 60)

        assert (len(services.ever), len(policies.ever)) == (60, 60)
        assert (services.most, policies.most) == (5, 5)
        of.check(driver, agent)


def test_a_job_deleted_before_its_start(here: Site, driver: Driver) -> None:
    """Row 7: a Job that somebody deletes before its pod has started ends the run; it is not made again."""
    here.create("unborn", image="registry.local/none:missing")
    status = _wait_job(here, "unborn")

    here.kube.delete("jobs", status["jobName"])

    _ended(here, "unborn", "JobDeleted")
    assert driver.of("unborn") == []
    assert here.kube.get("jobs", status["jobName"]) is None


def test_a_job_deleted_after_its_start(here: Site, driver: Driver) -> None:
    """Row 7: a Job that somebody deletes while its flow runs ends the run; its flow never runs again."""
    driver.behave = lambda _: FOREVER
    here.create("orphan")
    status = here.kube.wait_run("orphan", "Running")

    here.kube.delete("jobs", status["jobName"])

    _ended(here, "orphan", "JobDeleted")
    assert [(r.started, r.killed) for r in driver.of("orphan")] == [(True, True)]
    assert here.kube.get("jobs", status["jobName"]) is None


def test_a_deleted_runner_pod(here: Site, driver: Driver) -> None:
    """A runner pod that somebody deletes ends its attempt; a new one begins, and each starts once."""
    driver.behave = lambda r: FOREVER if r.attempt == 1 else Play()
    here.create("plucked", retries={"backoffSeconds": 1})
    here.kube.wait_run("plucked", "Running")

    here.kube.delete("pods", driver.of("plucked")[0].pod)
    ended = here.kube.wait_run("plucked", timeout=120)

    assert (ended["phase"], ended["attempt"]) == ("Succeeded", 2), ended
    assert ended["attempts"][0]["reason"] == "RunnerDeleted"
    assert [(r.attempt, r.started) for r in driver.of("plucked")] == [(1, True), (2, True)]


def test_a_second_pod_of_an_attempt(here: Site, driver: Driver) -> None:
    """Row 6: a copy of a runner's pod gets no leave and ends with 96; the first one does not notice."""
    driver.behave = lambda _: FOREVER
    here.create("twin")
    here.kube.wait_run("twin", "Running")
    (first,) = driver.of("twin")
    pod = here.kube.get("pods", first.pod)
    assert pod is not None
    copy = here.kube.create("pods", copy_of(pod))["metadata"]["name"]

    eventually(lambda: [r.exit_code for r in driver.of("twin")] == [None, 96], 30)
    assert here.kube.run_status("twin")["phase"] == "Running"
    here.kube.delete("pods", copy, grace=0)
    driver.end(first)

    assert here.kube.wait_run("twin")["phase"] == "Succeeded"
    assert [r.started for r in driver.of("twin")] == [True, False]


def test_an_image_that_cannot_be_pulled(here: Site, driver: Driver) -> None:
    """Row 18: the pull error is in status while it is tried, and the reason after the start deadline."""
    here.create("pull", image="registry.local/none:missing", startDeadlineSeconds=12)

    waiting = _waits(here, "pull", "ImagePull")
    ended = _ended(here, "pull", "ImagePull")

    assert "registry.local/none:missing" in waiting["message"]
    assert "registry.local/none:missing" in ended["message"]
    assert driver.of("pull") == []


def test_a_pod_that_fits_no_node(here: Site, driver: Driver) -> None:
    """Row 19: the scheduler's own message is in status, and the reason after the start deadline."""
    resources = {"requests": {"cpu": "5000"}}
    here.create("huge", runner={"resources": resources}, startDeadlineSeconds=6)

    waiting = _waits(here, "huge", "Unschedulable")
    _ended(here, "huge", "Unschedulable")

    assert "Insufficient cpu" in waiting["message"]
    assert driver.of("huge") == []


def test_a_quota_that_is_raised(here: Site, driver: Driver) -> None:
    """Row 20: a run over the quota waits and says so; once the quota allows it, it starts by itself."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}  # fmt: skip
    path = f"/api/v1/namespaces/{here.namespace}/resourcequotas"
    here.kube.request("POST", path, quota)
    eventually(lambda: "hard" in here.kube.request("GET", f"{path}/none").get("status", {}), 20)
    here.create("poor")

    waiting = _waits(here, "poor", "QuotaExceeded")
    here.kube.request("DELETE", f"{path}/none")
    ended = here.kube.wait_run("poor")

    assert "exceeded quota: none" in waiting["message"]
    assert ended["phase"] == "Succeeded"
    assert len(driver.of("poor")) == 1


def test_parameters_of_every_size(here: Site, agent: AgentProcess, driver: Driver) -> None:
    """Row 29: what fits reaches the runner as it was given; the rest ends with the reason, or is never stored."""
    logged = len(agent.text)
    for name, (parameters, _) in PARAMETERS.items():
        here.create(f"given-{name}", parameters=parameters)
    with pytest.raises(urllib.error.HTTPError, match=r"too large|larger than max") as refused:
        here.create("given-2mib", parameters=sized(2048 * KIB))

    assert refused.value.code in (413, 500)
    assert here.kube.get("flowruns", "given-2mib") is None
    for name, (parameters, found) in PARAMETERS.items():
        if found:
            _refused(here, driver, f"given-{name}", found)
        else:
            status = here.kube.wait_run(f"given-{name}")
            assert status["phase"] == "Succeeded", (name, status)
            assert [r.parameters for r in driver.of(f"given-{name}")] == [parameters], name

    here.create("given-nothing")
    assert here.kube.wait_run("given-nothing")["phase"] == "Succeeded"
    assert "Traceback" not in agent.text[logged:]


def _refused(here: Site, driver: Driver, name: str, found: str) -> None:
    """Fail unless a run has ended for its parameters, before anything was made for it."""
    status = _ended(here, name, "InvalidSpec")
    assert f"{found} (spec.parameters): " in status["message"], status
    assert status["message"].endswith(STORAGE), status
    assert not {"attempt", "jobName"} & status.keys(), status
    assert driver.of(name) == []


@pytest.mark.full
def test_a_lost_node() -> None:
    """Row 11: a silent node gets no second pod beside its own; after the node is deleted, a new attempt."""
    with own_nodes(2) as (group, _):
        runner = {**ON_KWOK, "nodeSelector": {"type": "kwok", LABEL: group}}
        with site("node", runner=runner) as here, here.agent() as agent:
            _lose_a_node(here, agent)


def _lose_a_node(here: Site, agent: AgentProcess) -> None:
    with playing(here.namespace, lambda r: FOREVER if r.attempt == 1 else Play()) as driver:
        here.create("cut")
        here.kube.wait_run("cut", "Running")
        node = here.kube.list("pods")[0]["spec"]["nodeName"]

        cut_off(node)
        eventually(lambda: _condition(here, "cut", "NodeUnreachable"), 180)
        assert here.kube.run_status("cut")["phase"] == "Running"
        assert len(here.kube.list("pods")) == 1

        remove(node)
        ended = here.kube.wait_run("cut", timeout=240)

        assert (ended["phase"], ended["attempt"]) == ("Succeeded", 2), ended
        assert ended["attempts"][0]["reason"] == "NodeLost"
        assert sorted(driver.starts.values()) == [1, 1]
        here.check(driver, agent)


def _wait_job(here: Site, name: str) -> dict[str, Any]:
    """Wait until a run's Job is there; returns the run's status."""

    def made() -> dict[str, Any] | None:
        status = here.kube.run_status(name)
        job = status.get("jobName")
        return status if job and here.kube.get("jobs", job) else None

    found: dict[str, Any] = eventually(made, 30)
    return found


def _waits(here: Site, name: str, reason: str) -> dict[str, Any]:
    """Wait until a run says why it does not start; returns its status."""

    def said() -> dict[str, Any] | None:
        status = here.kube.run_status(name)
        waits = status.get("phase") in ("Pending", "Starting")
        return status if waits and status.get("reason") == reason else None

    found: dict[str, Any] = eventually(said, 30, lambda: str(here.kube.run_status(name)))
    return found


def _ended(here: Site, name: str, reason: str) -> dict[str, Any]:
    status = here.kube.wait_run(name, timeout=60)
    assert (status["phase"], status["reason"]) == ("Failed", reason), status
    return status


def _condition(here: Site, name: str, kind: str) -> bool:
    conditions = here.kube.run_status(name).get("conditions") or []
    return any(c["type"] == kind and c["status"] == "True" for c in conditions)

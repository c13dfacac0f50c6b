"""The drain: waits for runs of the shared cluster if it changes, and pauses claims meanwhile."""

import asyncio

import pytest

from dask_flows.agent.drain import Target, drain
from dask_flows.deadline import Deadline
from dask_flows.kube.errors import KubeError, NotFound, Unreachable
from dask_flows.kube.resources import DEPLOYMENTS, FLOWRUNS, LEASES
from fakes.api import FakeApi
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime

LEASE = "r-dask-flows-pause"


def target(mode: str = "ephemeral", pod_hash: str = "") -> Target:
    """Return where an upgrade leads to."""
    return Target("r-dask-flows", "ns", mode, pod_hash, "next", LEASE)


def shared_cluster(api: FakeApi, pod_hash: str = "old") -> None:
    """Put the Deployments of the shared cluster there."""
    for role in ("scheduler", "worker"):
        annotations = {"dask-flows.dev/pod-hash": pod_hash}
        meta = {"name": f"r-dask-flows-{role}", "annotations": annotations}
        api.add(DEPLOYMENTS, {"metadata": meta, "spec": {}})


def start(stage: Stage, to: Target, seconds: float) -> tuple[asyncio.Task[int], list[str]]:
    """Start a drain and collect what it says."""
    said: list[str] = []
    deadline = Deadline(seconds, stage.clock)
    work = drain(stage.api, to, deadline, stage.clock, said.append)
    return asyncio.create_task(work), said


@pytest.mark.parametrize(
    ("before", "to"),
    [
        (None, target("ephemeral")),
        (None, target("static", "new")),
        ("same", target("static", "same")),
    ],
    ids=["no shared cluster", "the first shared cluster", "the same shared cluster"],
)
async def test_nothing_changes_nothing_waits(before: str | None, to: Target) -> None:
    """It ends at once and takes no Lease, whatever runs."""
    async with playing("static") as stage:
        if before:
            shared_cluster(stage.api, before)
        stage.submit()
        await stage.started()
        work, _ = start(stage, to, 100)

        assert await work == 0
        assert stage.api.names(LEASES) == []


@pytest.mark.parametrize("to", [target("ephemeral"), target("static", "new")], ids=["mode", "pods"])
async def test_it_waits_for_runs_and_their_jobs(to: Target) -> None:
    """The run of before ends in peace; a new one is not claimed; then the upgrade goes on."""
    async with playing("static") as stage:
        shared_cluster(stage.api)
        stage.submit("old")
        runner = await stage.started("old")
        work, said = start(stage, to, 100)
        await asyncio.sleep(20)
        stage.submit("new")
        await asyncio.sleep(20)

        assert (work.done(), stage.phase("new")) == (False, "Pending/Queued")
        assert any("old" in line for line in said)
        await runner.finish(stage.channel)
        assert await work == 0
        await asyncio.sleep(30)
        assert stage.phase("new") == "Pending/Queued"
        assert stage.api.read(LEASES, LEASE)["spec"]["leaseDurationSeconds"] == 60


async def test_the_upgraded_agent_takes_over() -> None:
    """It has the configuration that the Lease names, and claims what has waited."""
    async with playing("static") as stage:
        shared_cluster(stage.api)
        assert await start(stage, target("static", "new"), 100)[0] == 0
        stage.submit()
        await asyncio.sleep(1)
        assert stage.phase() == "Pending/Queued"
        await stage.restart(mode="static", configHash="next")
        await stage.started()


async def test_time_that_runs_out_fails_the_upgrade_and_names_the_runs() -> None:
    """Claims resume at once, and the list says what to do."""
    async with playing("static") as stage:
        shared_cluster(stage.api)
        stage.submit("slow")
        await stage.started("slow")
        work, said = start(stage, target(), 5)

        assert await work == 1
        assert stage.api.names(LEASES) == []
        text = "\n".join(said)
        assert "slow: Running since 2026-01-01T00:00:00Z" in text
        assert all(word in text for word in ("wait", "dask-flows cancel", "upgrade.force=true"))
        stage.submit("new")
        await stage.started("new")


async def test_it_judges_without_an_agent() -> None:
    """FlowRuns and Jobs tell what runs, also when the agent is scaled to nothing."""
    async with playing("static") as stage:
        shared_cluster(stage.api)
        stage.submit()
        runner = await stage.started()
        await stage.kill_agent()
        work, said = start(stage, target(), 5)

        assert await work == 1
        assert any("diamond" in line for line in said)
        stage.api.change(FLOWRUNS, "diamond", {"status": {"phase": "Failed"}})
        work, said = start(stage, target(), 5)
        assert await work == 1
        assert any("its Job runs" in line for line in said)
        runner.die(0)
        assert await start(stage, target(), 5)[0] == 0


async def test_runs_of_other_modes_are_not_waited_for() -> None:
    """They do not use the shared cluster."""
    async with playing("ephemeral") as stage:
        shared_cluster(stage.api)
        stage.submit()
        await stage.started()

        assert await start(stage, target(), 30)[0] == 0


async def test_the_lease_is_renewed_while_it_waits() -> None:
    """Longer than the Lease itself lasts, and never late."""
    async with playing("static") as stage:
        shared_cluster(stage.api)
        stage.submit()
        await stage.started()
        work, _ = start(stage, target(), 120)
        await asyncio.sleep(100)
        stage.submit("new")
        await asyncio.sleep(10)

        assert stage.phase("new") == "Pending/Queued"
        work.cancel()


async def test_a_killed_drain_lets_claims_resume() -> None:
    """SIGTERM removes the Lease; helm that gave up, or a node that went, changes nothing."""
    async with playing("static") as stage:
        shared_cluster(stage.api)
        stage.submit()
        await stage.started()
        work, _ = start(stage, target(), 120)
        await asyncio.sleep(10)
        assert stage.api.names(LEASES) == [LEASE]
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

        assert stage.api.names(LEASES) == []


async def test_a_lease_that_was_left_over_is_taken_over() -> None:
    """By an upgrade that failed after its hook."""
    async with playing("static") as stage:
        shared_cluster(stage.api)
        stage.api.add(LEASES, {"metadata": {"name": LEASE}, "spec": {}})
        work, _ = start(stage, target(), 120)

        assert await work == 0
        annotations = stage.api.read(LEASES, LEASE)["metadata"]["annotations"]
        assert annotations == {"dask-flows.dev/target-config": "next"}


@pytest.mark.parametrize("verb", ["list", "patch"])
async def test_an_api_server_that_is_away_for_a_moment(verb: str) -> None:
    """Is no reason to fail an upgrade, nor to call the cluster unused."""
    async with playing("static") as stage:
        shared_cluster(stage.api)
        stage.submit()
        runner = await stage.started()
        work, _ = start(stage, target(), 60)
        await asyncio.sleep(4)
        stage.api.faults.fail(verb, "*", Unreachable("down"), times=4)
        await asyncio.sleep(12)

        assert not work.done()
        await runner.finish(stage.channel)
        assert await work == 0


@pytest.mark.parametrize("verb", ["get", "create"])
@pytest.mark.parametrize("error", [Unreachable("down"), KubeError("etcd is away", code=503)])
async def test_an_api_server_that_is_away_at_the_start(verb: str, error: KubeError) -> None:
    """The same: the upgrade asks again until its own time is up."""
    async with playing("static") as stage:
        shared_cluster(stage.api)
        stage.api.faults.fail(verb, "*", error, times=5)

        assert await start(stage, target(), 60)[0] == 0


async def test_without_the_crd_nothing_runs() -> None:
    """Somebody removed it: there is nothing to wait for."""
    async with playing("static") as stage:
        shared_cluster(stage.api)
        missing = NotFound("the server could not find the requested resource")
        stage.api.faults.fail("list", "flowruns", missing, times=1000)

        assert await start(stage, target(), 30)[0] == 0


async def test_an_api_server_that_stays_away_fails_the_upgrade() -> None:
    """Nobody can say that nothing runs."""
    async with playing("static") as stage:
        shared_cluster(stage.api)
        work, said = start(stage, target(), 20)
        stage.api.faults.fail("list", "*", Unreachable("down"), times=1000)

        assert await work == 1
        assert any("did not answer" in line for line in said)


async def test_the_upgraded_agent_removes_its_lease_in_every_mode() -> None:
    """Else a switch back to the shared cluster would wait for an upgrade that is over."""
    async with playing("ephemeral") as stage:
        annotations = {"dask-flows.dev/target-config": stage.config.config_hash}
        stage.api.add(LEASES, {"metadata": {"name": LEASE, "annotations": annotations}, "spec": {}})
        stage.api.faults.fail("get", "leases", Unreachable("down"))
        await asyncio.sleep(20)

        assert stage.api.names(LEASES) == []


async def test_another_upgrade_s_lease_stays() -> None:
    """Its drain goes on, whatever the agent does."""
    async with playing("ephemeral") as stage:
        stage.api.add(LEASES, {"metadata": {"name": LEASE}, "spec": {}})
        await asyncio.sleep(20)

        assert stage.api.names(LEASES) == [LEASE]

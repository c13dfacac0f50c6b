"""Claims: guarded, in the right mode, paused while an upgrade drains the shared cluster."""

import asyncio
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dask_flows.agent.beginning import PAUSED
from dask_flows.flowrun import FlowRun
from dask_flows.kube.errors import Conflict, QuotaExceeded, Unreachable
from dask_flows.kube.resources import (
    CONFIG_MAPS,
    FLOWRUNS,
    JOBS,
    LEASES,
    PODS,
    SECRETS,
    SERVICES,
)
from dask_flows.manifests import config_map
from dask_flows.names import ANNOTATION_TARGET, ANNOTATION_TOKEN
from dask_flows.plan import make_plan
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime


def lease(stage: Stage, seconds: int, wrong: float = 0) -> dict[str, Any]:
    """Return a Lease that is renewed just now, by a clock that is ``wrong`` by some seconds."""
    moment = stage.clock.now() + timedelta(seconds=wrong)
    renewed = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"spec": {"leaseDurationSeconds": seconds, "renewTime": renewed}}


def take_lease(stage: Stage, *, target: str = "next", seconds: int = 15, wrong: float = 0) -> None:
    """Take the pause Lease as the hook does."""
    meta = {"name": "r-dask-flows-pause", "annotations": {ANNOTATION_TARGET: target}}
    stage.api.add(LEASES, {"metadata": meta, **lease(stage, seconds, wrong)})


async def test_a_claim_on_a_stale_copy_is_dropped() -> None:
    """409: somebody changed the run; it is looked at again, and claimed once."""
    async with playing() as stage:
        stage.api.faults.fail("patch/status", "flowruns", Conflict("changed"), times=3)
        stage.submit()
        await stage.started()

        assert len(stage.jobs()) == 1


async def test_two_agents_make_one_attempt() -> None:
    """Names and guards keep them from doing anything twice."""
    async with playing() as stage:
        second = Stage()
        second.api = stage.api
        second.agent = type(stage.agent)(stage.api, stage.config, stage.clock)
        other = asyncio.create_task(second.agent.run())
        for number in range(10):
            stage.submit(f"run-{number}")
        runners = await asyncio.gather(*(stage.started(f"run-{n}") for n in range(10)))
        for runner in runners:
            await runner.finish(stage.channel)
        await asyncio.gather(*(stage.cleaned(f"run-{n}") for n in range(10)))
        other.cancel()

        assert len(stage.jobs()) == len(set(stage.jobs())) == 10


@pytest.mark.parametrize(
    ("mode", "allowed", "asked", "phase"),
    [
        ("ephemeral", False, "ephemeral", "Starting"),
        ("ephemeral", False, "local", "Failed/InvalidSpec"),
        ("ephemeral", True, "local", "Starting"),
        ("ephemeral", True, "static", "Failed/InvalidSpec"),
        ("ephemeral", True, "elsewhere", "Failed/InvalidSpec"),
    ],
)
async def test_a_run_may_choose_its_mode_only_if_the_release_says_so(
    mode: str, allowed: bool, asked: str, phase: str
) -> None:
    """And only modes that the release can offer."""
    async with playing(mode, allowModeOverride=allowed) as stage:
        stage.submit(mode=asked)
        await asyncio.sleep(1)

        assert stage.phase() == phase


async def test_a_paused_release_claims_nothing_for_the_shared_cluster() -> None:
    """The run waits with the reason; it starts at once when the Lease goes."""
    async with playing("static") as stage:
        take_lease(stage)
        stage.submit()
        await asyncio.sleep(5)

        assert (stage.phase(), stage.status()["message"]) == ("Pending/Queued", PAUSED)
        assert stage.left() == []
        stage.api.remove(LEASES, "ns", "r-dask-flows-pause")
        await asyncio.sleep(0.5)
        assert stage.phase() == "Starting"


async def test_a_lease_that_nobody_renews_runs_out() -> None:
    """A hook that was killed does not stop the release for good."""
    async with playing("static") as stage:
        take_lease(stage, seconds=15)
        stage.submit()
        await asyncio.sleep(14)

        assert stage.phase() == "Pending/Queued"
        await asyncio.sleep(2)
        assert stage.phase() == "Starting"


@pytest.mark.parametrize("wrong", [3600, -3600], ids=["ahead", "behind"])
async def test_a_lease_is_kept_and_runs_out_by_one_clock_alone(wrong: int) -> None:
    """Row 23: that of the hook may be an hour wrong; nothing is claimed while it renews the Lease, nor shortly after."""
    async with playing("static") as stage:
        take_lease(stage, seconds=15, wrong=wrong)
        stage.submit()
        for _ in range(12):
            await asyncio.sleep(5)
            stage.api.change(LEASES, "r-dask-flows-pause", lease(stage, 15, wrong))
            assert stage.phase() == "Pending/Queued"
        await asyncio.sleep(14)
        assert stage.phase() == "Pending/Queued"

        await stage.until(
            lambda: stage.phase() == "Starting", 17
        )  # it looks when the time that it knew is over


async def test_a_lease_of_long_ago_pauses_nothing() -> None:
    """An agent that starts beside it has never seen it renewed."""
    async with playing("static") as stage:
        take_lease(stage, wrong=-2 * 86_400)
        stage.submit()
        await stage.started()


async def test_other_modes_do_not_pause() -> None:
    """Only the shared cluster is drained."""
    async with playing("ephemeral") as stage:
        take_lease(stage)
        stage.submit()
        await stage.started()


async def test_the_upgraded_agent_ends_the_pause() -> None:
    """The Lease names the configuration it leads to; who has it, goes on and removes the Lease."""
    async with playing("static") as stage:
        take_lease(stage, target="c0ffee", seconds=60)
        stage.submit()
        await stage.started()

        assert stage.api.names(LEASES) == []


async def test_a_lease_that_cannot_be_read_pauses_nothing() -> None:
    """Somebody else's Lease of the same name has no say."""
    async with playing("static") as stage:
        stage.api.add(LEASES, {"metadata": {"name": "r-dask-flows-pause"}, "spec": {}})
        stage.submit()
        await stage.started()


async def test_an_attempt_that_has_not_begun_follows_the_new_release() -> None:
    """Claimed, but without a Job: nothing was made, so the new mode holds."""
    async with playing("static") as stage:
        stage.api.faults.fail("create", "jobs", Conflict("not yet"), times=1000)
        stage.submit()
        await stage.until(lambda: stage.phase() == "Starting")
        stage.api.faults.clear()
        await stage.restart(mode="ephemeral")
        await stage.started()

        assert stage.status()["mode"] == "ephemeral"
        assert stage.status()["clusterName"] == stage.jobs()[0]


def secret_writes(stage: Stage) -> list[str]:
    """Return what was done to Secrets."""
    return [verb for verb, plural, _ in stage.api.writes if plural == "secrets"]


def accepted(stage: Stage) -> list[str]:
    """Return the hashes of the tokens that the first Job's pod may have."""
    annotations = stage.api.read(JOBS, stage.jobs()[0])["metadata"]["annotations"]
    return str(annotations[ANNOTATION_TOKEN]).split()


async def test_an_attempt_costs_a_job_and_a_secret() -> None:
    """The Secret is the Job's: nobody has to delete it."""
    async with playing("static") as stage:
        stage.submit()
        await (await stage.started()).finish(stage.channel)
        await stage.cleaned()
        made = [plural for verb, plural, _ in stage.api.writes if verb == "create"]
        (secret,) = stage.api.names(SECRETS)
        (owner,) = stage.api.read(SECRETS, secret)["metadata"]["ownerReferences"]
        (job,) = stage.jobs()

        assert [kind for kind in made if kind != "events"] == ["jobs", "secrets"]
        assert not [verb for verb, _, _ in stage.api.writes if verb == "delete"]
        assert (owner["kind"], owner["name"]) == ("Job", job)
        stage.api.remove(JOBS, "ns", job)
        assert not stage.api.names(SECRETS)


async def test_a_job_that_is_refused_for_a_while_keeps_its_token() -> None:
    """The agent that makes it knows the token, and needs no other for its further tries."""
    async with playing("static") as stage:
        stage.api.faults.fail("create", "secrets", Conflict("not yet"), times=3)
        stage.submit()
        await stage.started()

        assert secret_writes(stage) == ["create"]
        assert ("patch", "jobs") not in [(verb, kind) for verb, kind, _ in stage.api.writes]


async def test_a_job_without_its_secret_gets_another_token() -> None:
    """After a restart the first one is known to nobody; the Job stays the only one of its attempt."""
    async with playing("static") as stage:
        refused = stage.api.faults.fail("create", "secrets", Conflict("not yet"), times=10**6)
        stage.submit()
        await stage.until(stage.jobs)
        await asyncio.sleep(1)
        await stage.kill_agent()
        refused.times = 0
        await stage.restart()
        await stage.started()

        assert len(stage.jobs()) == 1
        assert secret_writes(stage) == ["create"]
        assert len(accepted(stage)) == 2


async def test_a_new_agent_leaves_a_secret_that_is_there() -> None:
    """It only asks, by a dry run: it may not read Secrets."""
    async with playing("static") as stage:
        stage.nodes.no_pods = True
        stage.submit()
        await stage.until(lambda: stage.api.names(SECRETS))
        await stage.restart()
        await asyncio.sleep(5)
        stage.nodes.no_pods = False
        await stage.started()

        assert secret_writes(stage) == ["create"]
        assert len(accepted(stage)) == 1


async def test_a_job_made_anew_never_meets_the_secret_of_the_one_before() -> None:
    """Somebody deletes the Job before the next agent looks: the old token must not be mounted."""
    async with playing("static") as stage:
        stage.nodes.no_pods = True
        stage.submit()
        await stage.until(lambda: stage.api.names(SECRETS))
        await stage.kill_agent()
        (job,), (old,) = stage.jobs(), stage.api.names(SECRETS)
        left = stage.api.read(SECRETS, old)
        stage.api.remove(JOBS, "ns", job)
        stage.api.add(SECRETS, left)  # the garbage collector is late
        stage.nodes.no_pods = False
        await stage.restart()
        await (await stage.started()).finish(stage.channel)
        await stage.cleaned()

        assert stage.phase() == "Succeeded"


async def test_parameters_and_files_reach_the_attempt() -> None:
    """They are left out of memory, and read again when the attempt is made."""
    async with playing("static") as stage:
        files = [{"path": "flow.py", "content": "x = 1"}]
        stage.submit(parameters={"n": 3}, source={"files": files})
        await stage.started()
        (secret,) = stage.api.names(SECRETS)
        data = stage.api.read(SECRETS, secret)["stringData"]

        assert stage.api.names(CONFIG_MAPS) == []
        assert data["parameters.json"] == '{"n": 3}'
        assert data["source-0"] == "x = 1"
        view = stage.agent.cache.runs.get("diamond")
        assert view is not None
        assert (view.run.spec.parameters, view.run.spec.files) == ({}, ())


async def test_a_namesake_is_another_run() -> None:
    """Deleted and made again under the same name: other objects, another life."""
    async with playing("static") as stage:
        stage.submit()
        await stage.started()
        stage.api.remove(FLOWRUNS, "ns", "diamond")
        stage.submit()
        await (await stage.started()).finish(stage.channel)
        await stage.cleaned()

        assert stage.phase() == "Succeeded"
        assert len(set(stage.jobs())) == 2


async def test_a_plan_that_somebody_else_has_stored_is_never_followed() -> None:
    """Who may create ConfigMaps must not choose the pods that the agent makes."""
    async with playing() as stage:
        run = stage.submit(suspend=True)
        foreign = make_plan(stage.config, FlowRun.parse(run), "ephemeral", 1).at("10.0.0.1")
        runner = deepcopy(dict(foreign.runner))
        runner["spec"]["serviceAccountName"] = "r-dask-flows-agent"
        body = config_map(replace(foreign, runner=runner), FlowRun.parse(run))
        await asyncio.sleep(30)  # the sweep at the agent's start is over
        stage.api.add(CONFIG_MAPS, body)

        stage.edit(suspend=False)
        await stage.started()

        (name,) = stage.jobs()
        pod = stage.api.read(JOBS, name)["spec"]["template"]["spec"]
        assert "serviceAccountName" not in pod
        assert "serviceAccountName" not in stage.api.read(CONFIG_MAPS, name)["data"]["pinned.json"]


async def test_a_planted_plan_is_not_followed_after_a_restart_either() -> None:
    """A new agent believes a stored plan only with the attempt's own Job."""
    async with playing() as stage:
        run = stage.submit(suspend=True)
        foreign = make_plan(stage.config, FlowRun.parse(run), "ephemeral", 1).at("10.0.0.1")
        runner = deepcopy(dict(foreign.runner))
        runner["spec"]["serviceAccountName"] = "r-dask-flows-agent"
        body = config_map(replace(foreign, runner=runner), FlowRun.parse(run))
        stage.api.faults.fail("create", "services", QuotaExceeded("exceeded quota"), times=5)
        stage.edit(suspend=False)
        await stage.until(lambda: stage.phase().startswith("Starting"))
        stage.api.add(CONFIG_MAPS, body)
        await stage.restart()
        await stage.started()

        (name,) = stage.jobs()
        pod = stage.api.read(JOBS, name)["spec"]["template"]["spec"]
        assert "serviceAccountName" not in pod


async def test_pods_of_a_plan_that_does_not_hold_are_made_again() -> None:
    """The release changes before the Job is there: no cluster of two releases comes to be."""
    async with playing() as stage:
        stage.api.faults.fail("create", "jobs", Unreachable("down"), times=1000)
        stage.submit(workers={"replicas": 2})
        await stage.until(lambda: len(stage.api.names(PODS)) == 3)
        stage.api.faults.clear()
        await stage.restart(mode="static")
        await stage.started()

        assert stage.status()["mode"] == "static"
        assert (len(stage.api.names(PODS)), stage.api.names(SERVICES)) == (1, [])

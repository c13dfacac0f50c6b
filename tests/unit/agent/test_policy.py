"""The NetworkPolicy of a run's own cluster: there before its pods, gone after them, or never made."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from dask_flows import names
from dask_flows.kube.api import ADDED, DELETED
from dask_flows.kube.errors import Unreachable, error_from
from dask_flows.kube.resources import (
    CONFIG_MAPS,
    FLOWRUNS,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
    Resource,
)
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime

OFF = {"minimum": 1, "maximum": 2, "networkPolicy": {"enabled": False, "dashboardFrom": []}}


async def play(stage: Stage) -> None:
    """Play a run to its end, when all is gone."""
    await (await stage.started()).finish(stage.channel)
    await stage.cleaned()


def moments(stage: Stage, plural: str, how: str) -> list[int]:
    """Return when, among all changes, objects of a kind came or went."""
    return [
        number
        for number, change in enumerate(stage.api.store.history)
        if (change.resource.plural, change.event.type) == (plural, how)
    ]


def writes(stage: Stage, plural: str) -> Counter[str]:
    """Count what the agent did to a kind of object."""
    return Counter(verb for verb, what, _ in stage.api.writes if what == plural)


async def test_a_cluster_is_closed_before_its_first_pod_and_as_long_as_it_lives() -> None:
    """Row 38: nobody else reaches a scheduler that has just begun, or a worker that has not ended yet."""
    async with playing() as stage:
        stage.submit(workers={"replicas": 2})
        await play(stage)

        (made,), (gone,) = (moments(stage, "networkpolicies", how) for how in (ADDED, DELETED))
        assert made < min(moments(stage, "pods", ADDED))
        assert gone > max(moments(stage, "pods", DELETED))


async def test_no_pod_is_made_while_the_policy_cannot_be() -> None:
    """It is tried again, as the Service is, and the one that is there is kept."""
    async with playing() as stage:
        down = Unreachable("down")
        fault = stage.api.faults.fail("create", "networkpolicies", down, times=10**9)
        stage.submit()
        await stage.until(lambda: stage.api.names(SERVICES))
        await stage.kill_agent()
        assert stage.api.names(PODS) == []
        fault.times = 0
        await stage.restart()
        await play(stage)

        assert stage.phase() == "Succeeded"
        assert writes(stage, "services") == writes(stage, "networkpolicies")


@pytest.mark.parametrize("settings", [OFF, {"minimum": 1}], ids=["off", "of an older chart"])
async def test_a_release_without_policies_makes_none(settings: dict[str, Any]) -> None:
    """The run costs two writes less."""
    async with playing(ephemeral=settings) as stage:
        stage.submit(workers={"replicas": 1})
        await play(stage)

        assert writes(stage, "networkpolicies") == {}
        assert sum("events" not in plural for _, plural, _ in stage.api.writes) == 16


async def test_a_policy_outlives_its_being_switched_off() -> None:
    """A run under way keeps what it began with, until its own end."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        await stage.restart(mode="ephemeral", ephemeral=OFF)
        await stage.until(lambda: stage.agent.cache.ready)
        assert stage.api.names(NETWORK_POLICIES) == stage.jobs()
        await runner.finish(stage.channel)
        await stage.cleaned()

        assert stage.api.names(NETWORK_POLICIES) == []


async def test_a_policy_goes_with_the_mode_that_needed_it() -> None:
    """The release is switched before the attempt has its Job."""
    async with playing() as stage:
        stage.api.faults.fail("create", "jobs", Unreachable("down"), times=10**9)
        stage.submit()
        await stage.until(lambda: stage.api.names(PODS))
        stage.api.faults.clear()
        await stage.restart(mode="static")
        await stage.started()

        assert stage.status()["mode"] == "static"
        assert stage.api.names(NETWORK_POLICIES) == stage.api.names(SERVICES) == []


DENIED = error_from(422, {"kind": "Status", "message": "denied by rule x"}, verb="*", resource="*")


async def test_a_policy_that_is_not_admitted_keeps_runs_waiting() -> None:
    """It is the release's: no run fails for good because of it, and each goes on once it is mended."""
    async with playing() as stage:
        fault = stage.api.faults.fail("create", "networkpolicies", DENIED, times=10**9)
        stage.submit()
        await stage.until(lambda: stage.phase() == "Starting/Forbidden", 30)
        assert "ephemeral.networkPolicy" in stage.status()["message"]
        await asyncio.sleep(60)
        assert stage.api.names(PODS) == []
        fault.times = 0
        await play(stage)

        assert stage.phase() == "Succeeded"


async def test_a_policy_that_may_not_be_deleted_keeps_no_pod() -> None:
    """A rule protects it: the runner that lingers is ended all the same, and status says what is refused."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        fault = stage.api.faults.fail("delete", "networkpolicies", DENIED, times=10**9)
        record = runner.record().to_dict()
        assert (await runner.call(stage.channel, "finish", **record)).status == 200
        await stage.until(lambda: stage.condition("Blocked"), 120)
        pods = [stage.api.read(PODS, name) for name in stage.api.names(PODS)]
        assert [pod["status"]["phase"] for pod in pods] == ["Failed"]  # the runner's, for its log
        fault.times = 0

        await stage.until(lambda: stage.condition("CleanedUp"), 120)


@pytest.mark.parametrize("resource", [SERVICES, NETWORK_POLICIES, CONFIG_MAPS], ids=str)
async def test_somebody_else_s_object_of_the_same_name_stays(resource: Resource) -> None:
    """Nobody else's are ever taken: not even by the clean-up of a run that failed because of it."""
    async with playing() as stage:
        await stage.kill_agent()
        stage.submit()
        uid = stage.api.read(FLOWRUNS, "diamond")["metadata"]["uid"]
        base = names.attempt_name("diamond", uid, 1)
        name = names.scheduler_name(base) if resource is SERVICES else base
        stage.api.add(resource, {"metadata": {"name": name}, "spec": {}})
        await stage.restart()
        await stage.until(lambda: stage.condition("CleanedUp"), 60)

        assert "belongs to somebody else" in stage.status()["message"]
        assert stage.api.names(resource) == [name]

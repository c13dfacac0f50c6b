"""What is refused shows on the run it is about and is taken back; what is only away for a while is asked again soon."""

import asyncio

import pytest

from dask_flows.agent.retire import retire
from dask_flows.deadline import Deadline
from dask_flows.kube.errors import KubeError, Unreachable, error_from
from dask_flows.kube.resources import FLOWRUNS, PODS, SERVICES
from fakes.stage import playing

pytestmark = pytest.mark.looptime


def forbidden(verb: str, resource: str) -> KubeError:
    """Return what the API server says where the Role lacks a right."""
    said = {"kind": "Status", "message": f'cannot {verb} resource "{resource}"'}
    return error_from(403, said, verb=verb, resource=resource)


@pytest.mark.parametrize("seconds", [90, 150, 200])
async def test_a_run_that_came_due_in_an_outage_is_claimed_within_15_s(seconds: int) -> None:
    """Row 12: also where the watch goes on without a 410, as after a cut of the network."""
    async with playing("static") as stage:
        stage.submit(retries={"limit": 1, "backoffSeconds": 20})
        runner = await stage.started()
        await runner.finish(stage.channel, "Failed", reason="FlowFailed", message="no", exit_code=1)
        await stage.cleaned()
        fault = stage.api.faults.fail("*", "*", Unreachable("down"), times=10**9)
        await asyncio.sleep(seconds)
        fault.times = 0

        await stage.until(lambda: stage.status()["attempt"] == 2, 15)


async def test_a_new_agent_without_the_right_to_read_a_plan_says_so() -> None:
    """Row 36: the run shows reason Forbidden, as for any other right, until it is given back."""
    async with playing("ephemeral") as stage:
        stage.submit()
        runner = await stage.started()
        await stage.kill_agent()
        refused = stage.api.faults.fail(
            "get", "configmaps", forbidden("get", "configmaps"), times=10**9
        )
        await stage.restart()
        await stage.until(lambda: stage.phase() == "Running/Forbidden", 60)
        refused.times = 0
        await runner.beat(stage.channel, workers=1, scaling={"wanted": 1, "idle": []})

        await stage.until(lambda: stage.phase() == "Running", 90)
        assert "message" not in stage.status()


async def test_a_new_agent_keeps_a_refusal_until_it_knows_better() -> None:
    """Row 36: how many workers are wanted is the runner's to say, so what is there proves nothing."""
    async with playing("ephemeral") as stage:
        stage.submit()
        runner = await stage.started()
        wish = {"workers": 1, "scaling": {"wanted": 2, "idle": []}}
        refused = stage.api.faults.fail("create", "pods", forbidden("create", "pods"), times=10**9)
        await runner.beat(stage.channel, **wish)
        await stage.until(lambda: stage.phase() == "Running/Forbidden", 60)
        version = stage.api.read(FLOWRUNS, "diamond")["metadata"]["resourceVersion"]
        await stage.restart()
        await asyncio.sleep(20)
        await runner.beat(stage.channel, **wish)
        await asyncio.sleep(60)
        assert stage.api.read(FLOWRUNS, "diamond")["metadata"]["resourceVersion"] == version
        refused.times = 0

        await stage.until(lambda: stage.phase() == "Running", 90)


async def test_a_cluster_that_may_not_grow_says_so_until_it_may() -> None:
    """Row 36: the flow goes on with the workers that it has; asking again costs no write."""
    async with playing("ephemeral") as stage:
        stage.submit()
        runner = await stage.started()
        refused = stage.api.faults.fail("create", "pods", forbidden("create", "pods"), times=10**9)
        await runner.beat(stage.channel, workers=1, scaling={"wanted": 2, "idle": []})
        await stage.until(lambda: stage.phase() == "Running/Forbidden", 60)
        version = stage.api.read(FLOWRUNS, "diamond")["metadata"]["resourceVersion"]
        before = len(stage.api.writes)
        await asyncio.sleep(300)
        assert stage.api.read(FLOWRUNS, "diamond")["metadata"]["resourceVersion"] == version
        assert len(stage.api.writes) - before < 20  # a number is reserved with each try
        refused.times = 0

        await stage.until(lambda: stage.phase() == "Running", 90)


async def test_many_clusters_that_may_not_grow_say_so_and_write_nothing_else() -> None:
    """Row 36: one that has to wait while others ask is refused still, and it alone is asked for again."""
    async with playing("ephemeral") as stage:
        names = [f"run-{number}" for number in range(6)]
        for name in names:
            stage.submit(name)
        runners = [await stage.started(name) for name in names]
        refused = stage.api.faults.fail(
            "create", "pods", forbidden("create", "pods"), times=10**9, delay=1
        )
        for runner in runners:
            await runner.beat(stage.channel, workers=1, scaling={"wanted": 2, "idle": []})
        for name in names:
            await stage.until(lambda name=name: stage.phase(name) == "Running/Forbidden", 60)
        before = [stage.api.read(FLOWRUNS, name)["metadata"]["resourceVersion"] for name in names]
        refused.delay = 10  # now they ask at the same time, and some have to wait for others
        await asyncio.sleep(600)
        assert [
            stage.api.read(FLOWRUNS, name)["metadata"]["resourceVersion"] for name in names
        ] == before
        refused.times = 0

        for name in names:
            await stage.until(lambda name=name: stage.phase(name) == "Running", 90)


@pytest.mark.parametrize("waits", ["for workers", "for its image", "for its pod"])
async def test_a_refused_replacement_before_the_flow_runs_costs_few_writes(waits: str) -> None:
    """Row 36: what keeps the runner and what keeps its workers do not take each other back at once, for ever."""
    async with playing("ephemeral") as stage:
        stage.submit()
        if waits == "for its image":
            reason = {"waiting": {"reason": "ContainerCreating"}}
            stage.nodes.broken = {
                "-000": {"containerStatuses": [{"name": "runner", "state": reason}]}
            }
            await stage.until(lambda: len(stage.api.names(PODS)) == 3)
        elif waits == "for its pod":  # asked for every 15 s, and admitted
            stage.nodes.no_pods = True
            await stage.until(stage.jobs)
        else:
            assert (await (await stage.runner()).start(stage.channel)).status == 200
        error = forbidden("create", "pods")
        refused = stage.api.faults.fail("create", "pods", error, name="*-worker-*", times=10**9)
        worker = next(name for name in stage.api.names(PODS) if "-worker-" in name)
        stage.api.remove(PODS, "ns", worker, grace=0)
        await stage.until(lambda: stage.phase() == "Starting/Forbidden", 60)
        before = len([one for one in stage.api.writes if one[1] == "flowruns"])
        await asyncio.sleep(200)
        written = len([one for one in stage.api.writes if one[1] == "flowruns"]) - before
        assert (stage.phase(), written < 10) == ("Starting/Forbidden", True)
        refused.times = 0

        await stage.until(lambda: stage.phase() == "Starting", 90)
        assert sum("-worker-" in name for name in stage.api.names(PODS)) == 1


async def test_a_deadline_passes_while_growth_is_refused() -> None:
    """At once: the pauses of what is refused are another matter."""
    async with playing("ephemeral") as stage:
        stage.submit(deadlineSeconds=300)
        runner = await stage.started()
        stage.api.faults.fail("create", "pods", forbidden("create", "pods"), times=10**9)
        await runner.beat(stage.channel, workers=1, scaling={"wanted": 2, "idle": []})
        await stage.until(lambda: stage.phase() == "Running/Forbidden", 60)
        await stage.until(lambda: stage.condition("Stopping"), 310)

        assert stage.clock.monotonic() < 303


@pytest.mark.parametrize("seconds", [20, 90, 200])
async def test_clusters_grow_soon_after_an_outage(seconds: int) -> None:
    """Row 12: and who dies afterwards is replaced at once."""
    async with playing("ephemeral") as stage:
        stage.submit()
        runner = await stage.started()
        fault = stage.api.faults.fail("create", "pods", Unreachable("down"), times=10**9)
        await runner.beat(stage.channel, workers=1, scaling={"wanted": 2, "idle": []})
        await asyncio.sleep(seconds)
        fault.times = 0

        def workers() -> list[str]:
            return [name for name in stage.api.names(PODS) if "-worker-" in name]

        await stage.until(lambda: len(workers()) == 2, 15)
        await asyncio.sleep(5)
        stage.api.remove(PODS, "ns", workers()[0], grace=0)
        await stage.until(lambda: len(workers()) == 2, 5)


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
async def test_a_run_that_an_uninstall_ends_is_finished(mode: str) -> None:
    """Row 33: who waits for condition Finished hears of it; nothing of the run is left."""
    async with playing(mode) as stage:
        stage.submit()
        await stage.started()
        await stage.kill_agent()
        deadline = Deadline(60, stage.clock)
        await retire(stage.api, "ns", "r", deadline=deadline, clock=stage.clock, say=print)

        assert stage.phase() == "Cancelled/Cancelled"
        assert stage.condition("Finished")
        assert stage.condition("CleanedUp")
        assert stage.status()["attempts"][0]["reason"] == "Cancelled"
        assert stage.left() == []


async def test_an_uninstall_takes_no_end_away() -> None:
    """Row 33: a run that has ended between the list and the write keeps its end."""
    async with playing("static") as stage:
        stage.submit("ended")
        stage.submit("held")
        runner = await stage.started("ended")
        await stage.started("held")
        deadline = Deadline(60, stage.clock)
        slow = stage.api.faults.fail("patch/status", "flowruns", delay=5, times=2)
        going = asyncio.create_task(
            retire(stage.api, "ns", "r", deadline=deadline, clock=stage.clock, say=print)
        )
        await stage.until(lambda: slow.times < 2)
        slow.times = 0
        await runner.finish(stage.channel)
        await stage.kill_agent()
        await going

        assert stage.phase("ended") == "Succeeded"
        assert stage.phase("held") == "Cancelled/Cancelled"
        assert stage.condition("CleanedUp", "ended")
        assert stage.condition("CleanedUp", "held")


async def test_an_uninstall_that_is_tried_again_finishes_what_the_first_one_has_begun() -> None:
    """Row 33: the hook may die after its first write; a run without a Job is one of the release's, too."""
    async with playing("ephemeral") as stage:
        stage.api.faults.fail("create", "networkpolicies", Unreachable("down"), times=10**9)
        stage.submit("begun")
        await stage.until(lambda: stage.api.names(SERVICES))
        await stage.kill_agent()
        down = stage.api.faults.fail("delete", "services", Unreachable("down"), times=10**9)
        again = {"clock": stage.clock, "say": print}
        with pytest.raises(Unreachable):
            await retire(stage.api, "ns", "r", deadline=Deadline(60, stage.clock), **again)
        assert stage.phase("begun") == "Cancelled/Cancelled"
        assert not stage.condition("CleanedUp", "begun")
        down.times = 0
        await retire(stage.api, "ns", "r", deadline=Deadline(60, stage.clock), **again)

        assert stage.condition("CleanedUp", "begun")
        assert stage.left() == []

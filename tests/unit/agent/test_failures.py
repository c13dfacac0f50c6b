"""How attempts go wrong, each with the right reason in status, a readable message and nothing left."""

import asyncio

import pytest

from dask_flows.kube import errors
from dask_flows.kube.resources import FLOWRUNS, JOBS, PODS, Resource
from dask_flows.names import attempt_name
from fakes.runner import FakeRunner
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime

ONCE = {"infrastructure": 0}

WAITING = {
    "ImagePull": {"reason": "ErrImagePull", "message": "docker.io/x: not found"},
    "ContainerStart": {"reason": "CreateContainerConfigError", "message": 'secret "s" not found'},
}
UNSCHEDULABLE = {
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
         "message": "0/1 nodes are available: 1 Insufficient cpu."}
    ]
}  # fmt: skip


def waiting(container: str, reason: str) -> dict[str, object]:
    """Return the status of a pod whose container waits for this reason."""
    state = {"waiting": WAITING[reason]}
    return {"containerStatuses": [{"name": container, "image": "x:1", "state": state}]}


@pytest.mark.parametrize(
    ("part", "status", "reason"),
    [
        ("-1-000", waiting("runner", "ImagePull"), "ImagePull"),
        ("scheduler", waiting("scheduler", "ImagePull"), "ImagePull"),
        ("worker-0", waiting("worker", "ContainerStart"), "ContainerStart"),
        ("worker-0", UNSCHEDULABLE, "Unschedulable"),
        ("-1-000", UNSCHEDULABLE, "Unschedulable"),
    ],
    ids=["runner-image", "scheduler-image", "worker-config", "worker-node", "runner-node"],
)
async def test_a_pod_that_cannot_start_is_shown_and_then_fails_the_run(
    part: str, status: dict[str, object], reason: str
) -> None:
    """Within five seconds while Starting; at the start deadline Failed, with everything removed."""
    async with playing() as stage:
        stage.nodes.broken[part] = status
        stage.submit(startDeadlineSeconds=60)
        await asyncio.sleep(5)

        assert stage.phase() == f"Starting/{reason}"
        message = stage.status()["message"]
        await stage.until(lambda: stage.phase() == f"Failed/{reason}", 60)
        assert stage.status()["message"] == message
        await stage.cleaned()
        left = [name for name in stage.left() if "runner" not in name and "jobs" not in name]
        assert all(part not in name or "-1-000" in name for name in left)


async def test_a_problem_that_goes_away_is_forgotten() -> None:
    """An image that is pushed late, a node that joins: the reason is cleared and the run goes on."""
    async with playing() as stage:
        stage.nodes.broken["scheduler"] = waiting("scheduler", "ImagePull")
        stage.submit()
        await stage.until(lambda: stage.phase() == "Starting/ImagePull")
        stage.nodes.broken.clear()
        await stage.until(lambda: stage.phase() == "Starting")

        assert "message" not in stage.status()


async def test_a_name_that_is_no_image_fails_at_once() -> None:
    """Waiting cannot help."""
    async with playing() as stage:
        state = {"waiting": {"reason": "InvalidImageName"}}
        broken = {"containerStatuses": [{"name": "runner", "image": "A B", "state": state}]}
        stage.nodes.broken["-1-000"] = broken
        stage.submit()
        await stage.cleaned()

        assert stage.phase() == "Failed/ImagePull"
        assert stage.clock.monotonic() < 10


async def test_nothing_found_at_the_start_deadline_says_so() -> None:
    """No reason is better than a wrong one."""
    async with playing("static") as stage:
        stage.nodes.start_after = 1000
        stage.submit(startDeadlineSeconds=20)
        await stage.cleaned()

        assert stage.phase() == "Failed/StartDeadlineExceeded"
        await stage.until(lambda: stage.left() == [])


async def test_a_started_runner_gives_the_better_reason() -> None:
    """It knows what it waited for, so it may be some seconds later than the agent's clock."""
    async with playing("static") as stage:
        stage.submit(startDeadlineSeconds=20)
        runner = await stage.runner()
        await runner.start(stage.channel)
        await asyncio.sleep(25)
        await runner.finish(
            stage.channel, "Failed", reason="ClusterTimeout", message="0 of 1 workers", exit_code=3
        )

        assert stage.phase() == "Failed/ClusterTimeout"


async def test_a_cluster_timeout_is_sharpened_by_the_pods() -> None:
    """The runner saw no workers; Kubernetes knows why."""
    async with playing() as stage:
        stage.nodes.broken["worker"] = UNSCHEDULABLE
        stage.submit(startDeadlineSeconds=300)
        runner = await stage.runner()
        await runner.start(stage.channel)
        await runner.finish(stage.channel, "Failed", reason="ClusterTimeout", exit_code=3)

        assert stage.phase() == "Failed/Unschedulable"


@pytest.mark.parametrize(
    ("code", "reason"), [(1, "FlowFailed"), (2, "BadFlow"), (6, "EnvironmentMismatch")]
)
async def test_the_runner_s_record_names_the_reason(code: int, reason: str) -> None:
    """Its word, its message and its exit code are what status says."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.started()
        await runner.finish(stage.channel, "Failed", reason=reason, message="why", exit_code=code)
        await stage.cleaned()

        assert stage.phase() == f"Failed/{reason}"
        assert (stage.status()["message"], stage.status()["exitCode"]) == ("why", code)


@pytest.mark.parametrize("code", [3, 4, 5])
async def test_an_exit_code_alone_is_the_flow_s_own(code: int) -> None:
    """A flow that calls ``os._exit(3)`` is not taken for a cluster that was late."""
    async with playing("static") as stage:
        stage.submit()
        (await stage.started()).die(code)
        await stage.cleaned()

        assert stage.phase() == "Failed/FlowFailed"
        assert f"exit code {code}" in stage.status()["message"]


async def test_a_finish_while_the_agent_is_away_is_not_lost() -> None:
    """The record is in the termination message too."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        await stage.kill_agent()
        runner.die(0, "Succeeded", result=9900)
        await asyncio.sleep(30)
        await stage.restart()
        await stage.cleaned()

        assert (stage.phase(), stage.status()["result"]) == ("Succeeded", 9900)


async def test_exit_code_0_without_a_record_is_no_success() -> None:
    """Something ended the runner before it could know."""
    async with playing("static") as stage:
        stage.submit()
        (await stage.started()).die(0)
        await stage.cleaned()

        assert stage.phase() == "Failed/FlowFailed"


async def test_out_of_memory_is_named_with_its_limit() -> None:
    """The limit is what a person can change."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.started()
        stage.nodes.end(runner.pod, 137, reason="OOMKilled")
        await stage.cleaned()

        assert stage.phase() == "Failed/OutOfMemory"
        assert "1Gi" in stage.status()["message"]


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
async def test_a_deleted_runner_pod(mode: str) -> None:
    """The runner reports that it was stopped; that somebody deleted its pod is the reason."""
    async with playing(mode) as stage:
        stage.submit(retries=ONCE)
        runner = await stage.started()
        record = runner.record("Failed", exit_code=143, reason="FlowFailed", message="SIGTERM")
        stage.api.remove(PODS, "ns", runner.pod)
        await runner.call(stage.channel, "finish", **record.to_dict())
        await stage.cleaned()

        assert stage.phase() == "Failed/RunnerDeleted"


async def test_a_runner_pod_that_vanishes_without_a_word() -> None:
    """Killed at once, with its object gone: the Job stays as the only witness."""
    async with playing() as stage:
        stage.submit(retries=ONCE)
        runner = await stage.started()
        stage.api.remove(PODS, "ns", runner.pod, grace=0)
        await stage.cleaned()

        assert stage.phase() == "Failed/RunnerDeleted"


async def test_an_evicted_runner() -> None:
    """The node's own words are kept."""
    async with playing("static") as stage:
        stage.submit(retries=ONCE)
        runner = await stage.started()
        disruption = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
        }
        stage.api.change(PODS, runner.pod, {"status": {"conditions": [disruption]}})
        runner.die(143, "Failed", reason="FlowFailed")
        await stage.cleaned()

        assert stage.phase() == "Failed/Preempted"


@pytest.mark.parametrize("moment", ["before the start", "while it runs"])
async def test_a_deleted_job_is_never_made_again(moment: str) -> None:
    """The attempt is over, whoever deleted it."""
    async with playing() as stage:
        stage.submit()
        if moment == "while it runs":
            await stage.started()
        else:
            await stage.runner()
        stage.api.remove(JOBS, "ns", stage.jobs()[0])
        await stage.cleaned()

        assert stage.phase() == "Failed/JobDeleted"
        assert len(stage.jobs()) == 1
        await stage.until(lambda: stage.left() == [])


async def test_a_job_deleted_while_the_agent_is_away() -> None:
    """A started attempt without a Job is over, and is not begun a second time."""
    async with playing() as stage:
        stage.submit()
        await stage.started()
        await stage.kill_agent()
        stage.api.remove(JOBS, "ns", stage.jobs()[0])
        await asyncio.sleep(5)
        await stage.restart()
        await stage.cleaned()

        assert stage.phase() == "Failed/JobDeleted"
        assert len(stage.jobs()) == 1


async def quota(stage: Stage, plural: str) -> list[bool]:
    """Let a quota refuse objects of a kind until the list's one entry is False."""
    used_up = [True]

    def check(resource: Resource, _: dict[str, object]) -> None:
        if used_up[0] and resource.plural == plural:
            raise errors.QuotaExceeded("exceeded quota: small, requested: pods=1")

    stage.api.admission.append(check)
    return used_up


async def test_a_quota_is_shown_and_the_run_starts_when_it_is_raised() -> None:
    """For pods the agent makes, by the API server's own words."""
    async with playing() as stage:
        used_up = await quota(stage, "pods")
        stage.submit()
        await stage.until(lambda: stage.phase() == "Starting/QuotaExceeded")

        assert "exceeded quota: small" in stage.status()["message"]
        used_up[0] = False
        await (
            await asyncio.wait_for(FakeRunner(stage.api, stage.nodes, "diamond").ready(), 90)
        ).start(stage.channel)
        await stage.until(lambda: stage.phase() == "Starting")


async def test_a_quota_that_stops_the_job_controller_is_found_out() -> None:
    """Row 20: a Job without a pod is asked why, should no event of it arrive."""
    async with playing("static") as stage:
        stage.nodes.no_pods = True
        await quota(stage, "pods")
        stage.submit(startDeadlineSeconds=60)
        await asyncio.sleep(6)

        assert stage.phase() == "Starting/QuotaExceeded"
        await stage.until(lambda: stage.phase() == "Failed/QuotaExceeded", 70)


async def test_what_kubernetes_refuses_as_invalid_fails_the_run() -> None:
    """Trying again would not help; what was made is removed."""
    async with playing() as stage:
        invalid = errors.Invalid("requests must not exceed limits", verb="create", resource="pods")
        stage.api.faults.fail("create", "pods", invalid, name="*-worker-*")
        stage.submit()
        await stage.cleaned()

        assert stage.phase() == "Failed/InvalidSpec"
        assert "requests must not exceed limits" in stage.status()["message"]
        await stage.until(lambda: stage.left() == [])


async def test_a_missing_right_is_shown_and_tried_again() -> None:
    """The Role may be repaired; the message has verb and resource."""
    async with playing() as stage:
        error = errors.error_from(403, None, verb="create", resource="services")
        stage.api.faults.fail("create", "services", error, times=3)
        stage.submit()
        await stage.until(lambda: stage.phase() == "Starting/Forbidden")

        assert "Forbidden: create services" in stage.status()["message"]
        await stage.started()


async def test_a_missing_right_to_clean_up_is_a_condition() -> None:
    """The end of the run stands; why its objects are still there is said beside it."""
    async with playing() as stage:
        error = errors.error_from(403, None, verb="delete", resource="services")
        stage.api.faults.fail("delete", "services", error, times=3)
        stage.submit()
        await (await stage.started()).finish(stage.channel)
        await stage.until(lambda: stage.condition("Blocked"))

        assert stage.phase() == "Succeeded"
        await stage.cleaned()
        assert not stage.condition("Blocked")


async def test_a_name_that_is_taken_by_somebody_else() -> None:
    """Nothing of other people's is adopted."""
    async with playing() as stage:
        run = stage.submit()
        name = attempt_name("diamond", run["metadata"]["uid"], 1)
        stage.api.add(JOBS, {"metadata": {"name": name}, "spec": {}, "status": {"started": True}})
        await stage.cleaned()

        assert stage.phase() == "Failed/InvalidSpec"
        assert "belongs to somebody else" in stage.status()["message"]
        assert stage.api.names(JOBS) == [name]


@pytest.mark.parametrize(
    "spec",
    [
        {"mode": "ephemeral"},
        {"unknown": 1},
        {"flow": 5},
        {"workers": "many"},
        {"workers": {"minimum": 5, "maximum": 2}, "mode": None},
    ],
    ids=str,
)
async def test_a_bad_spec_fails_its_run_and_no_other(spec: dict[str, object]) -> None:
    """The good one beside it succeeds."""
    mode = "ephemeral" if "workers" in spec else "static"
    async with playing(mode) as stage:
        stage.submit("bad", **{k: v for k, v in spec.items() if v is not None})
        stage.submit("good")
        await (await stage.started("good")).finish(stage.channel)
        await stage.until(lambda: stage.phase("bad") == "Failed/InvalidSpec")

        assert stage.status("bad")["message"]
        assert stage.phase("good") == "Succeeded"


async def test_a_hopeless_object_does_not_disturb_the_others() -> None:
    """No spec at all, a status of the wrong type: an older CRD may let them through."""
    async with playing("static") as stage:
        stage.api.store.put(
            FLOWRUNS,
            "ns",
            {"metadata": {"name": "odd", "uid": "u", "namespace": "ns"}, "status": 3},
        )
        stage.submit("good")
        await (await stage.started("good")).finish(stage.channel)

        assert stage.phase("good") == "Succeeded"


async def test_an_ending_that_kubernetes_refuses_is_recorded_with_less() -> None:
    """From a termination message or from the runner: no run may hang on what its runner said."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        stage.api.faults.fail("patch/status", "flowruns", errors.Invalid("too long"), times=1)
        runner.die(1, "Failed", reason="FlowFailed", message="boom")
        await stage.cleaned()
        assert stage.phase() == "Failed/FlowFailed"
        assert "too long" in stage.status()["message"]

        stage.submit("second")
        runner = await stage.started("second")
        stage.api.faults.fail("patch/status", "flowruns", errors.Invalid("too long"), times=1)
        assert (await runner.finish(stage.channel)).status == 200
        assert stage.phase("second") == "Failed/FlowFailed"

"""A failed attempt is recorded, cleaned up, and followed by the next one: never two at a time."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from dask_flows.agent import status
from dask_flows.agent.retrying import Retry, Used
from dask_flows.agent.verdict import Ending
from dask_flows.agent.views import RunView
from dask_flows.deadline import parse_timestamp, timestamp
from dask_flows.kube.resources import FLOWRUNS, JOBS, PODS, SERVICES
from fakes.clock import START
from fakes.runner import FakeRunner
from fakes.stage import Stage, playing
from fakes.store import merge
from samples import flow_run_data

pytestmark = pytest.mark.looptime

ONE = {"limit": 1, "backoffSeconds": 10, "infrastructure": 3}


async def fail(stage: Stage, runner: FakeRunner) -> None:
    """Let the flow of an attempt raise."""
    answer = await runner.finish(
        stage.channel, "Failed", reason="FlowFailed", message="ValueError: no", exit_code=1
    )
    assert answer.status == 200


async def failed_once(stage: Stage, **spec: Any) -> FakeRunner:
    """Return the runner of a first attempt that has failed and is recorded."""
    stage.submit(**{"retries": ONE, **spec})
    runner = await stage.started()
    await fail(stage, runner)
    return runner


@pytest.mark.parametrize("mode", ["static", "ephemeral", "local"])
async def test_a_flow_that_fails_once_succeeds_in_its_second_attempt(mode: str) -> None:
    """A new Job, a new cluster; both attempts are told, and both logs stay."""
    async with playing(mode) as stage:
        first = await failed_once(stage)
        assert stage.phase() == "Pending/FlowFailed"
        assert stage.status()["attempt"] == 1
        second = await stage.started()
        assert (stage.status()["attempt"], stage.phase()) == (2, "Running")
        await second.finish(stage.channel, result=9900)
        await stage.cleaned()

        found = stage.status()
        assert (stage.phase(), found["result"], found["exitCode"]) == ("Succeeded", 9900, 0)
        assert [a["reason"] for a in found["attempts"]] == ["FlowFailed", "Succeeded"]
        assert (found["attempts"][0]["exitCode"], found["attempts"][0]["message"]) == (
            1,
            "ValueError: no",
        )
        assert [a["jobName"] for a in found["attempts"]] == stage.jobs()
        assert len(set(stage.jobs())) == 2
        assert stage.left() == [
            *(f"jobs/{job}" for job in stage.jobs()),
            *sorted(f"pods/{runner.pod}" for runner in (first, second)),
        ]
        ttls = {
            stage.api.read(JOBS, job)["spec"]["ttlSecondsAfterFinished"] for job in stage.jobs()
        }
        assert ttls == {86400}


async def test_one_write_records_the_end_and_says_what_follows() -> None:
    """Reason, message and time of the next attempt, and the failed one with all it was."""
    async with playing() as stage:
        before = stage.clock.now()
        await failed_once(stage)
        found = stage.status()
        waits = (parse_timestamp(found["retryTime"]) - before).total_seconds()

        assert found["message"] == (
            f"attempt 1 failed: ValueError: no; attempt 2 from {found['retryTime']}"
        )
        assert 9 <= waits <= 16
        assert found["retries"] == {"limit": 1, "infrastructure": 0}
        (attempt,) = found["attempts"]
        assert {"startTime", "runningTime", "finishTime", "reason", "exitCode"} <= set(attempt)
        assert "finishTime" not in found
        assert "workers" not in found


async def test_the_next_attempt_starts_from_nothing() -> None:
    """What the claim of the second attempt writes holds nothing of the first one."""
    async with playing() as stage:
        await failed_once(stage)
        started = stage.status()["startTime"]
        await stage.until(lambda: stage.phase() == "Starting")
        found = stage.status()

        assert found["jobName"] == found["clusterName"] == stage.jobs()[0][:-1] + "2"
        assert found["startTime"] == started
        gone = {"startedBy", "schedulerAddress", "runningTime", "exitCode", "retryTime", "message"}
        assert not gone & set(found)
        assert not stage.condition("CleanedUp")


async def test_no_attempt_begins_before_its_time() -> None:
    """Nor long after."""
    async with playing("static") as stage:
        await failed_once(stage, retries={"limit": 1, "backoffSeconds": 100})
        due = parse_timestamp(stage.status()["retryTime"])
        await stage.until(lambda: stage.phase() == "Starting", 200)

        assert 0 <= (stage.clock.now() - due).total_seconds() < 2


async def test_a_budget_that_is_used_up_ends_the_run() -> None:
    """The last failure is the run's."""
    async with playing("static") as stage:
        await failed_once(stage)
        await fail(stage, await stage.started())
        await stage.cleaned()

        assert stage.phase() == "Failed/FlowFailed"
        assert stage.status()["message"] == "ValueError: no"
        assert len(stage.jobs()) == 2


@pytest.mark.parametrize(
    ("record", "phase"),
    [
        ({"reason": "BadFlow", "exit_code": 2}, "Failed/BadFlow"),
        ({"reason": "EnvironmentMismatch", "exit_code": 6}, "Failed/EnvironmentMismatch"),
    ],
)
async def test_what_another_attempt_would_only_repeat_is_not_tried_again(
    record: dict[str, Any], phase: str
) -> None:
    """Whatever the budget."""
    async with playing("static") as stage:
        stage.submit(retries={"limit": 5})
        await (await stage.started()).finish(stage.channel, "Failed", **record)
        await stage.cleaned()

        assert stage.phase() == phase


async def test_a_deleted_job_is_not_tried_again() -> None:
    """Somebody deleted the attempt, and nobody else's decision brings it back."""
    async with playing() as stage:
        stage.submit(retries={"limit": 5})
        await stage.started()
        stage.api.remove(JOBS, "ns", stage.jobs()[0])
        await stage.cleaned()

        assert stage.phase() == "Failed/JobDeleted"


async def test_a_lost_scheduler_gets_a_new_cluster_without_the_flow_s_budget() -> None:
    """Row 8: SchedulerLost, and the next attempt has a scheduler of its own."""
    async with playing() as stage:
        stage.submit()
        first = await stage.started()
        stage.nodes.end(f"{stage.jobs()[0]}-scheduler", 137)
        await stage.until(lambda: stage.condition("Stopping"))
        await first.finish(stage.channel, "Failed", reason="SchedulerLost", exit_code=4)
        assert stage.phase() == "Pending/SchedulerLost"
        assert "create a new FlowRun" not in stage.status()["message"]
        second = await stage.started()

        assert stage.api.names(SERVICES) == [f"{stage.jobs()[1]}-scheduler"]
        assert stage.status()["retries"] == {"limit": 0, "infrastructure": 1}
        await second.finish(stage.channel)
        assert stage.phase() == "Succeeded"


async def test_a_runner_that_does_not_end_holds_the_next_attempt_back() -> None:
    """Its outcome is recorded; until its pod is dead nothing of attempt 2 is there."""
    async with playing("static") as stage:
        stage.submit(retries=ONE)
        runner = await stage.started()
        stage.nodes.deaf.add(runner.pod)
        record = runner.record("Failed", reason="FlowFailed", exit_code=1)
        await runner.call(stage.channel, "finish", **record.to_dict())
        await asyncio.sleep(200)

        assert stage.phase() == "Pending/FlowFailed"
        assert not stage.condition("CleanedUp")
        assert len(stage.jobs()) == 1
        stage.nodes.deaf.clear()
        await stage.until(lambda: stage.phase() == "Starting")
        assert len(stage.jobs()) == 2


async def test_a_dask_pod_that_does_not_go_holds_the_next_attempt_back() -> None:
    """A worker on a node that is cut off may still write what its task writes; who is waited for is said."""
    async with playing() as stage:
        stage.submit(retries=ONE)
        runner = await stage.started()
        worker = f"{stage.jobs()[0]}-worker-0"
        stage.nodes.cut_off.add(worker)
        await fail(stage, runner)
        await asyncio.sleep(100)

        assert stage.phase() == "Pending/FlowFailed"
        assert worker in stage.condition("NodeUnreachable")["message"]  # type: ignore[index]
        stage.api.remove(PODS, "ns", worker, grace=0)
        await stage.started()
        assert not stage.condition("NodeUnreachable")


async def test_a_pod_that_only_the_server_knows_of_holds_the_next_attempt_back() -> None:
    """The watch may be late; whether the last attempt is dead is asked where it is known."""
    async with playing("static") as stage:
        stage.submit(retries=ONE)
        runner = await stage.started()
        hidden = {**runner.object, "metadata": {**runner.object["metadata"], "name": "late"}}
        del hidden["metadata"]["uid"]
        hidden["metadata"]["labels"] = dict(hidden["metadata"]["labels"])
        hidden["metadata"]["labels"]["app.kubernetes.io/instance"] = "not-followed"
        stage.api.add(PODS, hidden)
        await fail(stage, runner)
        await asyncio.sleep(100)

        assert (stage.phase(), len(stage.jobs())) == ("Pending/FlowFailed", 1)
        stage.api.remove(PODS, "ns", "late", grace=0)
        await stage.started()


@pytest.mark.parametrize("moment", ["waiting", "running"])
async def test_calls_of_an_old_attempt(moment: str) -> None:
    """start 409; beat says over; finish changes nothing, whatever it says and however often."""
    async with playing() as stage:
        stage.submit(retries=ONE)
        old = await stage.started()
        token, pod = old.token(), old.object["metadata"]["uid"]
        await fail(stage, old)
        if moment == "running":
            await stage.started()
        before = stage.status()
        late = old.record("Succeeded", result=1).to_dict()

        assert (await old.start(stage.channel, token=token)).status == 409
        beat = await old.beat(stage.channel, token=token, waitSeconds=10)
        assert (beat.status, beat.body["stop"]["reason"]) == (200, "FlowFailed")
        for _ in range(2):
            assert (await old.call(stage.channel, "finish", token=token, **late)).status == 200
        assert (await old.call(stage.channel, "finish", token="wrong", **late)).status == 401
        other = await old.call(stage.channel, "start", of_attempt=2, token=token, podUid=pod)
        assert other.status == (401 if moment == "running" else 404)
        assert (await old.start(stage.channel, token=token, of_attempt=3)).status == 404
        assert stage.status() == before


async def test_a_held_beat_of_an_attempt_whose_end_is_recorded_is_answered() -> None:
    """Its pod was deleted under it: whoever still waits hears that it is over."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.started()
        held = asyncio.create_task(runner.beat(stage.channel, workers=1, waitSeconds=10))
        await asyncio.sleep(1)
        stage.api.remove(PODS, "ns", runner.pod, grace=0)

        assert (await held).body["stop"]["reason"] == "RunnerDeleted"
        assert stage.clock.monotonic() < 8


async def test_the_next_attempt_needs_no_job_of_the_last_one() -> None:
    """It may have been deleted, or its TTL was short."""
    async with playing() as stage:
        await failed_once(stage)
        stage.api.remove(JOBS, "ns", stage.jobs()[0])
        await (await stage.started()).finish(stage.channel)

        assert stage.phase() == "Succeeded"


async def test_cancel_while_it_waits() -> None:
    """At once, and the failed attempt keeps its own reason."""
    async with playing() as stage:
        await failed_once(stage, retries={"limit": 1, "backoffSeconds": 1000})
        await stage.cleaned()
        stage.edit(cancel=True)
        await stage.until(lambda: stage.phase() == "Cancelled/Cancelled")

        assert stage.condition("CleanedUp")
        assert [a["reason"] for a in stage.status()["attempts"]] == ["FlowFailed"]
        await asyncio.sleep(1500)
        assert len(stage.jobs()) == 1


async def test_cancel_before_the_last_attempt_is_cleaned_up() -> None:
    """The run is over; its objects go all the same."""
    async with playing() as stage:
        stage.submit(retries=ONE)
        runner = await stage.started()
        stage.nodes.deaf.add(runner.pod)
        record = runner.record("Failed", reason="FlowFailed", exit_code=1)
        await runner.call(stage.channel, "finish", **record.to_dict())
        stage.edit(cancel=True)
        await stage.until(lambda: stage.phase() == "Cancelled/Cancelled")
        stage.nodes.deaf.clear()
        await stage.cleaned()

        assert stage.left() == [f"jobs/{stage.jobs()[0]}", f"pods/{runner.pod}"]


async def test_a_retry_that_cannot_begin_before_the_deadline_is_none() -> None:
    """The run ends at once with DeadlineExceeded; its message says what failed."""
    async with playing() as stage:
        await failed_once(stage, deadlineSeconds=60, retries={"limit": 1, "backoffSeconds": 100})
        await stage.cleaned()

        assert stage.phase() == "Failed/DeadlineExceeded"
        assert "attempt 1 failed: ValueError: no" in stage.status()["message"]
        assert [a["reason"] for a in stage.status()["attempts"]] == ["FlowFailed"]
        assert stage.status()["exitCode"] == 1


async def test_a_deadline_that_is_lowered_while_it_waits_ends_the_run() -> None:
    """It is asked again whenever the spec changes."""
    async with playing() as stage:
        await failed_once(stage, retries={"limit": 1, "backoffSeconds": 100})
        stage.edit(deadlineSeconds=50)
        await stage.until(lambda: stage.phase() == "Failed/DeadlineExceeded")

        assert stage.clock.monotonic() < 20


@pytest.mark.parametrize("source", ["run", "release"])
async def test_the_deadline_counts_over_all_attempts(source: str) -> None:
    """From the first claim: the second runner gets what is left, and is stopped when that is over."""
    runs = {"startDeadlineSeconds": 600, "deadlineSeconds": 60 if source == "release" else None}
    async with playing("static", runs=runs) as stage:
        stage.submit(retries=ONE, **({"deadlineSeconds": 60} if source == "run" else {}))
        first = await stage.started()
        await asyncio.sleep(20)
        await fail(stage, first)
        second = await stage.runner()
        left = (await second.start(stage.channel)).body["deadlineSeconds"]

        assert 60 - stage.clock.monotonic() <= left <= 60 - stage.clock.monotonic() + 3
        assert (await second.beat(stage.channel)).body["deadlineSeconds"] == left
        await stage.until(lambda: stage.condition("Stopping"), 60)
        assert 59 <= stage.clock.monotonic() <= 62
        await second.finish(stage.channel, "Failed", exit_code=5)
        assert stage.phase() == "Failed/DeadlineExceeded"


async def test_every_attempt_has_its_own_start_deadline() -> None:
    """However long the run is under way already."""
    async with playing("static") as stage:
        stage.submit(retries=ONE, startDeadlineSeconds=30)
        first = await stage.started()
        await asyncio.sleep(100)
        stage.nodes.start_after = 20
        await fail(stage, first)
        await stage.started()

        assert stage.status()["attempt"] == 2
        assert stage.phase() == "Running"


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
async def test_a_new_agent_goes_on_wherever_the_old_one_stopped(mode: str) -> None:
    """A restart in every state of two attempts: the same end, two Jobs, two starts."""
    async with playing(mode) as stage:
        stage.submit(retries=ONE)
        first = await stage.runner()
        await stage.restart()
        await stage.until(lambda: stage.agent.cache.ready)
        assert (await first.start(stage.channel)).status == 200
        await stage.restart()
        await stage.until(lambda: stage.agent.cache.ready)
        await stage.kill_agent()
        first.die(1, "Failed", reason="FlowFailed", message="boom")
        await stage.restart()
        await stage.until(lambda: stage.phase() == "Pending/FlowFailed")
        await stage.restart()
        await stage.cleaned()
        await stage.restart()
        await stage.until(lambda: stage.phase() == "Starting")
        await stage.restart()
        second = await stage.runner()
        await stage.until(lambda: stage.agent.cache.ready)
        assert (await second.start(stage.channel)).status == 200
        await stage.restart()
        await stage.until(lambda: stage.agent.cache.ready)
        await second.finish(stage.channel)
        await stage.restart()
        await stage.cleaned()

        assert stage.phase() == "Succeeded"
        assert len(stage.jobs()) == len(set(stage.jobs())) == 2
        assert [a["reason"] for a in stage.status()["attempts"]] == ["FlowFailed", "Succeeded"]


async def test_attempts_and_phases_never_go_back() -> None:
    """Whoever watches sees one story: claimed, ran, recorded, cleaned up, claimed anew."""
    async with playing() as stage:
        await failed_once(stage)
        await (await stage.started()).finish(stage.channel)
        await stage.cleaned()
        states = [
            change.event.object.get("status") or {}
            for change in stage.api.store.history
            if change.resource is FLOWRUNS
        ]
        story = [(s.get("attempt", 0), s.get("phase", "Pending")) for s in states]

        assert list(dict.fromkeys(story)) == [
            (0, "Pending"),
            (1, "Starting"),
            (1, "Running"),
            (1, "Pending"),
            (2, "Starting"),
            (2, "Running"),
            (2, "Succeeded"),
        ]


async def test_a_switch_of_the_release_between_attempts_holds_for_the_next_one() -> None:
    """Each attempt pins its mode when it is claimed."""
    async with playing("static") as stage:
        await failed_once(stage)
        await stage.restart(mode="ephemeral")
        await (await stage.started()).finish(stage.channel)

        assert [a["mode"] for a in stage.status()["attempts"]] == ["static", "ephemeral"]


async def test_a_release_s_budget_holds_for_runs_that_say_nothing() -> None:
    """values.yaml decides, field by field."""
    runs = {"startDeadlineSeconds": 600, "retries": {"limit": 1, "backoffSeconds": 1}}
    async with playing("static", runs=runs) as stage:
        stage.submit()
        await fail(stage, await stage.started())
        await fail(stage, await stage.started())

        assert stage.phase() == "Failed/FlowFailed"


def test_counters_outlive_the_list_of_attempts() -> None:
    """Of thirty attempts ten are told; how many there were is still known."""
    data: dict[str, Any] = {**flow_run_data(), "status": {}}
    now = START
    for number in range(30):
        run = RunView.of(data).run
        claim = status.claimed(run, "static", [], now)
        data = {**data, "status": merge(data["status"], claim)}
        now += timedelta(seconds=10)
        run = RunView.of(data).run
        retry = Retry(now, Used(Used.of(run.status).limit + 1, 0))
        record = status.retried(run, Ending("Failed", "FlowFailed", "no"), retry, now)
        data = {**data, "status": merge(data["status"], record)}
        assert data["status"]["attempt"] == number + 1

    assert [a["attempt"] for a in data["status"]["attempts"]] == list(range(21, 31))
    assert Used.of(data["status"]) == Used(30, 0)
    assert data["status"]["startTime"] == timestamp(START)

"""The life of a run with nothing going wrong, seen from outside, in each mode."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from dask_flows.agent.steps import step_of
from dask_flows.kube.resources import FLOWRUNS, JOBS, NETWORK_POLICIES, PODS, SECRETS, SERVICES
from dask_flows.kube.through import Call
from dask_flows.names import LABEL_OVER
from fakes.deaf import deaf
from fakes.stage import playing

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("mode", ["static", "ephemeral", "local"])
async def test_a_run_succeeds_and_leaves_its_job_only(mode: str) -> None:
    """Succeeded with its result as soon as the runner says so; then only Job and pod are left."""
    async with playing(mode) as stage:
        stage.submit()
        runner = await stage.started()
        answer = await runner.finish(stage.channel, result=9900, workers=2)

        assert (answer.status, stage.phase()) == (200, "Succeeded")
        await stage.cleaned()
        status = stage.status()
        assert stage.left() == [f"jobs/{status['jobName']}", f"pods/{runner.pod}"]
        assert (status["result"], status["exitCode"], status["workers"]) == (9900, 0, 2)
        job = stage.api.read(JOBS, status["jobName"])
        assert job["spec"]["ttlSecondsAfterFinished"] == 86400
        assert job["metadata"]["labels"][LABEL_OVER] == "true"


async def test_a_static_run_costs_eight_writes() -> None:
    """Workers that are there before the flow runs are written with its start, not on their own."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.runner()
        await runner.start(stage.channel)
        for phase in ("cluster", "running"):
            await runner.beat(stage.channel, phase, workers=2)
            await asyncio.sleep(0.5)
        await runner.finish(stage.channel, workers=2)
        await stage.cleaned()
        await asyncio.sleep(60)

        made = Counter(f"{verb} {plural}" for verb, plural, _ in stage.api.writes)
        assert {what: n for what, n in made.items() if "events" not in what} == {
            "patch/status flowruns": 5,
            "create jobs": 1,
            "create secrets": 1,
            "patch jobs": 1,
        }


async def test_an_ephemeral_run_costs_eighteen_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One to create and one to delete each of Service, NetworkPolicy, ConfigMap, scheduler and worker.

    A late watch adds none.
    """
    async with playing("ephemeral") as stage:
        stage.submit()
        runner = await stage.runner()
        await runner.start(stage.channel)
        await runner.beat(stage.channel, "running", workers=1)
        await asyncio.sleep(0.5)
        with deaf(stage.agent.cache.pods, monkeypatch):
            await runner.finish(stage.channel, workers=1)
            await asyncio.sleep(5)
        await stage.cleaned()

        made = Counter(f"{verb} {plural}" for verb, plural, _ in stage.api.writes)
        assert sum(n for what, n in made.items() if "events" not in what) == 18
        assert made["delete pods"] == 2


async def test_a_deletion_that_came_to_nothing_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was answered, and the pod is there all the same."""

    async def answered(*_: Any, **__: Any) -> None:
        pass

    async with playing("ephemeral") as stage:
        stage.submit()
        runner = await stage.started()
        with monkeypatch.context() as patch:
            patch.setattr(stage.api, "delete", answered)
            await runner.finish(stage.channel)
            await asyncio.sleep(10)
        await stage.cleaned()

        assert stage.phase() == "Succeeded"


async def test_a_job_that_stays_for_ever_is_not_followed_either() -> None:
    """Without a time to live, the same write has a name, as all have."""
    runs = {"startDeadlineSeconds": 600, "deadlineSeconds": None, "ttlSecondsAfterFinished": None}
    async with playing("static", runs=runs) as stage:
        stage.submit()
        await (await stage.started()).finish(stage.channel)
        await stage.cleaned()
        await asyncio.sleep(1)
        job = stage.api.read(JOBS, stage.jobs()[0])
        patch = {"metadata": {"labels": {LABEL_OVER: "true"}}}

        assert "ttlSecondsAfterFinished" not in job["spec"]
        assert job["metadata"]["labels"][LABEL_OVER] == "true"
        assert len(stage.agent.cache.jobs) == 0
        assert step_of(Call("patch", JOBS, job["metadata"]["name"], patch)) == "ttl"


async def test_what_stays_for_its_log_is_not_followed() -> None:
    """Ten thousand finished Jobs cost an agent neither memory nor time to start."""
    async with playing() as stage:
        stage.submit()
        await (await stage.started()).finish(stage.channel)
        await stage.cleaned()
        await asyncio.sleep(1)
        assert (len(stage.jobs()), len(stage.agent.cache.jobs)) == (1, 0)
        await stage.restart()
        await stage.agent.cache.wait_ready()

        assert (len(stage.jobs()), len(stage.agent.cache.jobs)) == (1, 0)


async def test_status_tells_the_story() -> None:
    """Mode, attempt, names, addresses and times are there, in the order they came about."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        await asyncio.sleep(3)
        await runner.finish(stage.channel)
        status = stage.status()

        assert (status["mode"], status["attempt"]) == ("ephemeral", 1)
        assert status["clusterName"] == status["jobName"]
        assert status["schedulerAddress"].startswith("tcp://10.96.0.")
        assert status["startedBy"] == runner.object["metadata"]["uid"]
        times = [status[key] for key in ("startTime", "runningTime", "finishTime")]
        assert times == sorted(times)
        assert [a["reason"] for a in status["attempts"]] == ["Succeeded"]
        assert status["observedGeneration"] == 1
        assert stage.condition("Finished")


async def test_an_ephemeral_cluster_is_the_plan_s() -> None:
    """One scheduler, the minimum of workers, a Service; workers connect by IP."""
    async with playing() as stage:
        stage.submit(workers={"minimum": 3, "maximum": 5})
        await stage.runner()
        base = stage.status()["jobName"]
        pods = [p for p in stage.api.names(PODS) if "scheduler" in p or "worker" in p]

        assert pods == [f"{base}-scheduler", *(f"{base}-worker-{n}" for n in range(3))]
        assert stage.api.names(SERVICES) == [f"{base}-scheduler"]
        assert stage.api.names(NETWORK_POLICIES) == [base]
        (secret,) = stage.api.names(SECRETS)
        attempt = json.loads(stage.api.read(SECRETS, secret)["stringData"]["attempt.json"])
        assert attempt["address"] == "tcp://10.96.0.10:8786"


async def test_ten_runs_at_once_do_not_mind_each_other() -> None:
    """Every one ends, every one has exactly one Job."""
    async with playing() as stage:
        names = [f"run-{n}" for n in range(10)]
        for name in names:
            stage.submit(name)
        for runner in await asyncio.gather(*(stage.started(name) for name in names)):
            await runner.finish(stage.channel)
        await asyncio.gather(*(stage.cleaned(name) for name in names))

        assert {stage.phase(name) for name in names} == {"Succeeded"}
        assert len(stage.jobs()) == len(set(stage.jobs())) == 10
        assert len(stage.agent.memories) == 0


async def test_workers_follow_beats_but_not_every_beat() -> None:
    """The count in status is written on change, and not more often than every five seconds."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.started()
        before = len(stage.api.writes)
        for count in range(2, 12):
            await runner.beat(stage.channel, workers=count)
            await asyncio.sleep(1)
        writes = len(stage.api.writes) - before
        await asyncio.sleep(6)

        assert writes <= 3
        assert stage.status()["workers"] == 11


async def test_no_workers_yet_is_no_news() -> None:
    """A beat without anything new costs no write."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.runner()
        await runner.start(stage.channel)
        writes = len(stage.api.writes)
        for _ in range(5):
            await runner.beat(stage.channel, "cluster", workers=0)
            await asyncio.sleep(6)

        assert len(stage.api.writes) == writes


async def test_settings_without_effect_are_named() -> None:
    """One FlowRun fits every mode; what it asks in vain is said in a condition."""
    async with playing("static") as stage:
        stage.submit(workers={"replicas": 4}, interruptible=True)
        await stage.runner()
        message = stage.condition("SettingsIgnored")["message"]  # type: ignore[index]

        assert all(word in message for word in ("spec.workers", "spec.interruptible"))


async def test_a_suspended_run_waits_until_it_is_resumed() -> None:
    """Nothing is made for it before."""
    async with playing() as stage:
        stage.submit(suspend=True)
        await stage.until(lambda: stage.phase() == "Suspended")
        await asyncio.sleep(60)

        assert stage.left() == []
        stage.edit(suspend=False)
        await (await stage.started()).finish(stage.channel)
        assert stage.phase() == "Succeeded"


async def test_a_pinned_mode_survives_a_switch_of_the_release() -> None:
    """A run in flight stays in its mode, with the same Job, whatever the new configuration says."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.started()
        await stage.restart(mode="ephemeral")
        await stage.until(lambda: stage.agent.cache.ready)
        await runner.beat(stage.channel)
        await runner.finish(stage.channel)
        await stage.cleaned()

        assert (stage.phase(), stage.status()["mode"]) == ("Succeeded", "static")
        assert len(stage.jobs()) == 1


async def test_deleting_a_run_takes_everything_with_it() -> None:
    """Its objects are owned by it, and the agent forgets it."""
    async with playing() as stage:
        stage.submit()
        await stage.started()
        stage.api.remove(FLOWRUNS, "ns", "diamond")
        await stage.until(lambda: not stage.left())

        assert len(stage.agent.memories) == 0
        assert not stage.agent.engine._pacing
        assert not stage.agent.engine._told


async def test_deleting_a_run_that_is_being_cleaned_up_is_forgotten_too() -> None:
    """Which pods were told to go is remembered while they do."""
    async with playing() as stage:
        stage.submit(workers={"replicas": 25})  # not all can be told at the same time
        runner = await stage.started()
        stage.api.faults.fail("delete", "pods", delay=1, times=10**9)
        await runner.finish(stage.channel)
        await stage.until(lambda: stage.agent.engine._told)
        stage.api.remove(FLOWRUNS, "ns", "diamond")
        await stage.until(lambda: not stage.left())
        await asyncio.sleep(5)

        assert not stage.agent.engine._told


async def test_a_job_that_has_started_keeps_its_logs_however_late_the_kubelet_is() -> None:
    """A short flow may report its end before its pod is shown as Running."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.started()
        late = {"phase": "Pending", "containerStatuses": []}
        stage.nodes.broken[runner.pod] = late
        stage.api.change(PODS, runner.pod, {"status": late})
        await asyncio.sleep(0.3)
        record = runner.record()
        assert (await runner.call(stage.channel, "finish", **record.to_dict())).status == 200
        await asyncio.sleep(5)

        assert f"jobs/{stage.jobs()[0]}" in stage.left()


async def test_a_runner_that_does_not_end_is_looked_at_less_and_less_often() -> None:
    """Each look asks the API server for the Service's deletion."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        stage.nodes.deaf.add(runner.pod)
        record = runner.record()
        await runner.call(stage.channel, "finish", **record.to_dict())
        await asyncio.sleep(100)

        asked = [r for r in stage.api.requests if r[:2] == ("delete", "services")]
        assert len(asked) < 20

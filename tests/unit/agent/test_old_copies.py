"""An agent whose copies are old, or are of somebody else's objects, does no harm: it asks before it acts."""

import asyncio
import hashlib
from contextlib import suppress

import pytest

from dask_flows import names
from dask_flows.agent.main import Agent
from dask_flows.kube.errors import Unreachable
from dask_flows.kube.resources import FLOWRUNS, JOBS, PODS, SECRETS
from dask_flows.names import ANNOTATION_PLAN, ANNOTATION_TOKEN
from fakes.deaf import deaf
from fakes.faults import AFTER
from fakes.runner import secret_of
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("begun", [False, True], ids=["starting", "running"])
async def test_a_label_that_somebody_plants_ends_nothing(begun: bool) -> None:
    """A Job with it is not followed; before it is taken for gone the API server is asked, and believed."""
    async with playing("static") as stage:
        stage.submit()
        runner = await (stage.started() if begun else stage.runner())
        stage.api.change(JOBS, stage.jobs()[0], {"metadata": {"labels": {names.LABEL_OVER: "x"}}})
        await asyncio.sleep(30)
        assert stage.phase() in ("Starting", "Running")
        assert (await runner.start(stage.channel)).status == 200
        await runner.finish(stage.channel)

        assert stage.phase() == "Succeeded"


@pytest.mark.parametrize(
    ("mode", "late"), [("static", "jobs"), ("ephemeral", "jobs"), ("ephemeral", "pods")]
)
async def test_what_a_late_watch_does_not_show_is_not_gone(
    mode: str, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 3: a frozen agent wakes up, hears of a run that another one runs, and of its Job or pods later."""
    async with playing(mode) as stage:
        await asyncio.sleep(1)
        cache = stage.agent.cache
        with deaf(getattr(cache, late), monkeypatch):
            with deaf(cache.runs, monkeypatch):
                other = Agent(stage.api, stage.config, stage.clock)
                task = asyncio.create_task(other.run())
                stage.submit()
                runner = await stage.runner()
                assert (await runner.start(other.channel)).status == 200
                await runner.beat(other.channel, workers=1)
                await stage.until(lambda: stage.phase() == "Running")
            await asyncio.sleep(2)
        await asyncio.sleep(3)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

        assert stage.phase() == "Running"
        assert stage.condition("Stopping") is None


async def test_a_success_is_read_from_a_pod_that_the_watch_has_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The Job is told to be complete first, and finish did not get through: its record still counts."""
    async with playing("static") as stage:
        with deaf(stage.agent.cache.pods, monkeypatch):
            stage.submit()
            runner = await stage.runner()
            assert (await runner.start(stage.channel)).status == 200
            await asyncio.sleep(2)
            runner.die(0, "Succeeded")
            await asyncio.sleep(8)

            assert stage.phase() == "Succeeded"
            assert len(stage.jobs()) == 1


def add_token(stage: Stage, token: str) -> None:
    """Give the only Job another token, and the Secret that holds it, as another agent does."""
    (name,) = stage.api.names(JOBS)
    job = stage.api.read(JOBS, name)
    old = job["metadata"]["annotations"][ANNOTATION_TOKEN]
    both = f"{old} {hashlib.sha256(token.encode()).hexdigest()}"
    stage.api.change(JOBS, name, {"metadata": {"annotations": {ANNOTATION_TOKEN: both}}})
    owner = {"kind": "Job", "uid": job["metadata"]["uid"]}
    meta = {"name": secret_of(job), "ownerReferences": [owner]}
    stage.api.add(SECRETS, {"metadata": meta, "stringData": {"token": token}})


@pytest.mark.parametrize("asked_before", [False, True])
async def test_a_token_that_another_agent_has_added_is_accepted(
    asked_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 3: also where the first hashes have been remembered since somebody's call with a wrong token."""
    async with playing("static") as stage:
        stage.api.faults.fail("create", "secrets", Unreachable("cut"), times=10**6)
        run = stage.submit()
        await stage.until(lambda: stage.api.names(JOBS))
        await asyncio.sleep(1)
        with deaf(stage.agent.cache.jobs, monkeypatch):
            if asked_before:
                uid = run["metadata"]["uid"]
                wrong = await stage.channel.answer("beat", uid, 1, "wrong", {"podUid": "x"})
                assert wrong.status == 401
            add_token(stage, "other")
            runner = await stage.runner()

            assert (await runner.start(stage.channel)).status == 200
            assert (await runner.beat(stage.channel, workers=1)).status == 200


async def test_a_job_that_goes_while_its_secret_is_made_is_not_made_again() -> None:
    """Somebody deletes it before the agent has heard of it: that is JobDeleted, not another start."""
    async with playing("static") as stage:
        stage.api.faults.fail("create", "secrets", moment=AFTER, delay=2.0)
        stage.submit()
        await stage.until(lambda: stage.api.names(SECRETS))
        (job,) = stage.jobs()
        stage.api.remove(JOBS, "ns", job)
        await stage.until(lambda: stage.phase() == "Failed/JobDeleted")

        assert stage.jobs() == [job]


@pytest.mark.parametrize("owned", [False, True])
async def test_a_copy_of_a_job_is_nobody_s(owned: bool) -> None:
    """People copy objects to look at them: labels, and even the owner, do not make it the attempt's Job."""
    async with playing("static") as stage:
        stage.submit(ttlSecondsAfterFinished=60)
        runner = await stage.started()
        (name,) = stage.api.names(JOBS)
        job = stage.api.read(JOBS, name)
        stage.nodes.no_pods = True
        for number in range(5):
            meta = {"name": f"copy-{number}", "labels": job["metadata"]["labels"]}
            if owned:
                meta["ownerReferences"] = job["metadata"]["ownerReferences"]
            stage.api.add(JOBS, {"metadata": meta, "spec": job["spec"]})
        await asyncio.sleep(5)

        assert stage.phase() == "Running"
        assert stage.condition("Stopping") is None
        await runner.finish(stage.channel)
        await stage.until(lambda: "ttlSecondsAfterFinished" in stage.api.read(JOBS, name)["spec"])


@pytest.mark.parametrize(("owned", "end"), [(False, "Failed/InvalidSpec"), (True, "Starting")])
async def test_no_secret_is_made_under_a_name_that_somebody_else_chose(
    owned: bool, end: str
) -> None:
    """Who may create Jobs, and not Secrets, plants one with the attempt's name."""
    async with playing("static") as stage:
        stage.submit("model")
        await stage.started("model")
        (name,) = stage.api.names(JOBS)
        job = stage.api.read(JOBS, name)
        stage.nodes.no_pods = True
        run = stage.submit(suspend=True, parameters={"password": "x"})
        await stage.until(lambda: stage.phase() == "Suspended")
        uid = run["metadata"]["uid"]
        owner = {**job["metadata"]["ownerReferences"][0], "name": "diamond", "uid": uid}
        annotations = job["metadata"]["annotations"]
        plan = annotations[ANNOTATION_PLAN].replace("model", "diamond")
        plan = plan.replace(job["metadata"]["labels"][names.LABEL_RUN_UID], uid)
        for volume in job["spec"]["template"]["spec"]["volumes"]:
            if volume["name"] == "attempt":
                volume["secret"]["secretName"] = "mine"
        own = names.attempt_labels("diamond", uid, 1, "runner")
        meta = {
            "name": names.attempt_name("diamond", uid, 1),
            "labels": {**job["metadata"]["labels"], **own},
            "annotations": {**annotations, ANNOTATION_PLAN: plan},
            "ownerReferences": [owner] if owned else [],
        }
        stage.api.add(JOBS, {"metadata": meta, "spec": job["spec"]})
        stage.edit(suspend=False)
        await asyncio.sleep(30)

        assert stage.phase() == end
        assert "mine" not in stage.api.names(SECRETS)


async def test_a_job_of_an_agent_that_made_the_secret_first_is_taken_as_it_is() -> None:
    """An upgrade of the agent: its pod is waiting, and what it waits for is told."""
    async with playing("static") as stage:
        waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
        status = {"name": "runner", "image": "x", "state": {"waiting": waiting}}
        stage.nodes.broken = {"f-diamond": {"containerStatuses": [status]}}
        stage.submit()
        await stage.until(lambda: stage.api.names(PODS))
        await stage.kill_agent()
        (name,) = stage.api.names(JOBS)
        stage.api.change(JOBS, name, {"metadata": {"annotations": {ANNOTATION_PLAN: None}}})
        await stage.restart()
        await stage.until(lambda: stage.phase() == "Starting/ImagePull")

        assert not stage.agent.queue.errors
        assert stage.api.names(FLOWRUNS) == ["diamond"]

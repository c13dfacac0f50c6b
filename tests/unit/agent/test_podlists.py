"""A new agent reads no pods of attempts that are cleaned up, and all that the others are judged by."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from dask_flows import names
from dask_flows.agent import podlists
from dask_flows.agent.cache import Cache
from dask_flows.agent.main import Agent
from dask_flows.agent.podlists import SIGN_EVERY, pod_lists
from dask_flows.agent.views import PodView, RunView
from dask_flows.kube.api import Page
from dask_flows.kube.errors import Unreachable
from dask_flows.kube.informer import Informer
from dask_flows.kube.resources import FLOWRUNS, JOBS, PODS, Resource
from fakes.api import FakeApi
from fakes.deaf import deaf
from fakes.runner import FakeRunner
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime

ENDS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "success": (0, "Succeeded", {"result": 9900, "workers": 2}),
    "failure": (1, "Failed", {"reason": "FlowFailed", "message": "ValueError: no"}),
    "out of memory": (137, "", {}),
    "no word": (3, "", {}),
}


def end(runner: FakeRunner, how: str) -> None:
    """End a runner that cannot reach the agent."""
    code, outcome, fields = ENDS[how]
    runner.die(code, outcome, **fields)


def told(stage: Stage) -> dict[str, Any]:
    """Return what status tells of a run's end, apart from times."""
    status = stage.status()
    kept = {k: status.get(k) for k in ("phase", "reason", "message", "exitCode", "attempt")}
    return {**kept, "result": status.get("result"), "jobs": stage.api.names(JOBS)}


async def played(how: str, *, begun: bool, dead: bool, jobs: bool) -> dict[str, Any]:
    """Play a run whose runner ends, before a living agent or a dead one; the Job controller may be away, too."""
    async with playing("static") as stage:
        stage.submit()
        runner = await (stage.started() if begun else stage.runner())
        if dead:
            await stage.kill_agent()
        if not jobs:
            stage.stop_nodes()
        end(runner, how)
        await asyncio.sleep(5)
        if dead:
            await stage.restart()
        await stage.cleaned()
        return told(stage)


@pytest.mark.parametrize("jobs", [True, False], ids=["job finished", "job controller away"])
@pytest.mark.parametrize("begun", [True, False], ids=["started", "not started"])
@pytest.mark.parametrize("how", ENDS)
async def test_an_end_while_no_agent_lives_is_told_as_ever(
    how: str, begun: bool, jobs: bool
) -> None:
    """The pod is in no list of what lives: it is asked for by its run, which is not cleaned up."""
    living = await played(how, begun=begun, dead=False, jobs=jobs)
    dead = await played(how, begun=begun, dead=True, jobs=jobs)

    assert dead == living
    assert len(dead["jobs"]) == 1


async def test_pods_of_runs_that_are_over_are_not_read() -> None:
    """Nor missed by any comparison; the Job and its pod stay for the log."""
    async with playing("static") as stage:
        for number in range(3):
            stage.submit(f"run-{number}")
            runner = await stage.started(f"run-{number}")
            await runner.finish(stage.channel)
            await stage.cleaned(f"run-{number}")
        await stage.restart()
        stage.submit("living")
        await stage.started("living")
        stage.stop_nodes()  # nothing happens there for half an hour
        await asyncio.sleep(2000)
        pods = stage.agent.cache.pods

        assert [pod.run for pod in pods] == ["living"]
        assert (pods.lists["Age"], pods.lists["Missed"]) == (3, 0)
        assert len(stage.api.names(PODS)) == 4


def noted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what will hold the selectors of all lists of pods from now on."""
    selectors: list[str] = []
    read = stage.api.list

    async def listing(resource: Resource, *args: Any, **query: Any) -> Page:
        if resource is PODS:
            selectors.append(query["labels"])
        return await read(resource, *args, **query)

    monkeypatch.setattr(stage.api, "list", listing)
    return selectors


@pytest.mark.parametrize(("count", "expected"), [(7, [5, 2]), (11, [])])
async def test_many_are_asked_for_at_once(
    count: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All ended while no agent lived. A URL holds so many UIDs; for very many all ended ones are read."""
    monkeypatch.setattr(podlists, "AT_ONCE", 5)
    monkeypatch.setattr(podlists, "MANY", 10)
    async with playing("static", limits={"maxConcurrentRuns": count}) as stage:
        runs = [f"run-{number}" for number in range(count)]
        for name in runs:
            stage.submit(name)
        runners = [await stage.runner(name) for name in runs]
        for runner in runners:
            assert (await runner.start(stage.channel)).status == 200
        await stage.kill_agent()
        for runner in runners:
            end(runner, "success")
        await asyncio.sleep(5)
        selectors = noted(stage, monkeypatch)
        await stage.restart()
        for name in runs:
            await stage.cleaned(name)

        assert {stage.phase(name) for name in runs} == {"Succeeded"}
        assert [one.count("00000000-") for one in selectors if " in (" in one] == expected
        assert not any("run-uid=" in one for one in selectors)


async def test_many_that_ended_unheard_are_asked_for_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The watch was cut and is too old now (410): what is held of them says that they live."""
    runs = [f"run-{number}" for number in range(8)]
    async with playing("static", limits={"maxConcurrentRuns": 8}) as stage:
        for name in runs:
            stage.submit(name)
        runners = [await stage.started(name) for name in runs]
        selectors = noted(stage, monkeypatch)
        with deaf(stage.agent.cache.pods, monkeypatch), deaf(stage.agent.cache.jobs, monkeypatch):
            for runner in runners:
                end(runner, "success")
            await asyncio.sleep(1)
            await relisted(stage.agent.cache, stage)
            for name in runs:
                await stage.cleaned(name)

        assert {stage.phase(name) for name in runs} == {"Succeeded"}
        assert sum(" in (" in one for one in selectors) == 1
        assert not any("run-uid=" in one for one in selectors)


async def test_a_first_list_begun_again_asks_for_what_has_ended_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first try saw it living, and failed afterwards; nobody else tells of its end."""
    async with playing("static", limits={"maxConcurrentRuns": 2}) as stage:
        for name in ("first", "second"):
            stage.submit(name)
        first, second = [await stage.started(name) for name in ("first", "second")]
        await stage.kill_agent()
        stage.stop_nodes()  # the Job controller is away
        end(second, "success")
        read = stage.api.list

        async def listing(resource: Resource, *args: Any, **query: Any) -> Page:
            if " in (" in query.get("labels", "") and first.object["status"]["phase"] == "Running":
                end(first, "success")
                raise Unreachable("cut")
            return await read(resource, *args, **query)

        monkeypatch.setattr(stage.api, "list", listing)
        await stage.restart()
        await stage.until(lambda: stage.phase("first") == "Succeeded")
        await stage.until(lambda: stage.phase("second") == "Succeeded")


async def relisted(cache: Cache, stage: Stage) -> None:
    """Let the agent list its pods again."""
    cache.pods._distrust("Gone", "of this test")
    await stage.until(lambda: cache.pods.lists["Gone"] == 1, 90)
    await asyncio.sleep(1)


@asynccontextmanager
async def unheard(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Agent]:
    """Let another agent work, of which the first one hears nothing before it has listed its pods again."""
    cache = stage.agent.cache
    await asyncio.sleep(1)
    with deaf(cache.runs, monkeypatch):
        with deaf(cache.pods, monkeypatch):
            other = Agent(stage.api, stage.config, stage.clock)
            task = asyncio.create_task(other.run())
            yield other
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await relisted(cache, stage)
        assert len(cache.pods) == 0


async def test_a_run_whose_copy_is_old_still_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 3: another agent began its attempt, so this one did not ask for the runner that has ended since."""
    async with playing("static") as stage:
        async with unheard(stage, monkeypatch) as other:
            stage.submit()
            runner = await stage.runner()
            assert (await runner.start(other.channel)).status == 200
            stage.api.faults.fail("patch", "flowruns", Unreachable("cut"), times=10**6)
            end(runner, "success")
            await asyncio.sleep(1)
        stage.api.faults.clear()
        await stage.cleaned()

        assert stage.phase() == "Succeeded"


async def test_a_job_whose_runner_was_never_seen_keeps_its_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row 3: another agent recorded the end of a run that never started, and died before it had cleaned up."""
    async with playing("static") as stage:
        async with unheard(stage, monkeypatch):
            stage.api.faults.fail("patch", "jobs", Unreachable("cut"), times=10**6)
            stage.submit()
            end(await stage.runner(), "no word")
            await stage.until(lambda: stage.phase() == "Failed/FlowFailed")
        stage.api.faults.clear()
        await stage.cleaned()

        assert stage.api.names(JOBS) == stage.jobs()


async def test_a_living_intruder_hides_no_end() -> None:
    """Anybody may make a pod with our labels; the one that started is asked for all the same."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.started()
        await stage.kill_agent()
        end(runner, "success")
        meta = {"name": "intruder", "labels": runner.labels}
        stage.api.add(PODS, {"metadata": meta, "spec": {"containers": []}})
        stage.stop_nodes()  # neither does the Job controller tell of an end
        await stage.restart()
        await stage.until(lambda: stage.phase() == "Succeeded")


async def test_pods_wait_for_the_runs_and_show_that_they_live() -> None:
    """Which attempts are cleaned up is told by the FlowRuns: their list comes first, however long it takes."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.started()
        await stage.kill_agent()
        end(runner, "success")
        stage.stop_nodes()  # see above
        stage.api.faults.fail("list", "flowruns", Unreachable("cut"), times=10**6)
        await stage.restart()
        await asyncio.sleep(200)
        pods = stage.agent.cache.pods
        waiting, silent = not pods.synced.is_set(), stage.clock.monotonic() - pods.last_sign
        stage.api.faults.clear()
        await stage.until(lambda: stage.phase() == "Succeeded")

        assert waiting
        assert silent <= SIGN_EVERY


@pytest.mark.parametrize(
    ("component", "phase", "unlisted"),
    [
        ("runner", "Succeeded", True),
        ("runner", "Failed", True),
        ("runner", "Running", False),
        ("worker", "Succeeded", False),
        ("scheduler", "Failed", False),
    ],
)
async def test_only_ended_runners_are_left_out(component: str, phase: str, unlisted: bool) -> None:
    """An ended worker is still replaced, an ended scheduler ends its run."""
    api = FakeApi()
    labels = names.attempt_labels("run", "uid", 1, component)
    meta = {"name": "pod", "uid": "u", "resourceVersion": "1", "labels": labels}
    view = PodView.of({"metadata": meta, "spec": {}, "status": {"phase": phase}})
    runs = Informer(api, FLOWRUNS, "ns", RunView.of, clock=api.clock)

    assert pod_lists(api, "ns", "", runs, lambda *_: []).unlisted(view) is unlisted

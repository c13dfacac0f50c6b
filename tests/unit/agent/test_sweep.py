"""The sweep removes what no live attempt needs, and nothing else."""

import asyncio
from dataclasses import replace
from typing import Any
from weakref import WeakSet

import pytest

from dask_flows import names
from dask_flows.flowrun import FlowRun
from dask_flows.kube.api import Page
from dask_flows.kube.errors import Unreachable
from dask_flows.kube.resources import (
    CONFIG_MAPS,
    EVENTS,
    FLOWRUNS,
    JOBS,
    NETWORK_POLICIES,
    PODS,
    SECRETS,
    SERVICES,
    Resource,
)
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime


def ours(name: str, uid: str, component: str = "worker", attempt: int = 1, **more: Any) -> Any:
    """Return an object with our labels."""
    labels = names.attempt_labels("lost", uid, attempt, component)
    meta = {"name": name, "labels": {**labels, names.LABEL_INSTANCE: "r"}}
    return {
        "metadata": meta,
        "spec": {"containers": [], "template": {"metadata": {}, "spec": {}}},
        **more,
    }


async def test_objects_of_a_run_that_is_gone_are_swept_at_the_start() -> None:
    """By the labels of its attempts; a Job takes its pod and its Secret along."""
    async with playing() as stage:
        await stage.kill_agent()
        base = names.attempt_name("lost", "gone", 1)
        for resource, name in (
            (CONFIG_MAPS, base), (SERVICES, f"{base}-scheduler"), (PODS, f"{base}-worker-0"),
            (NETWORK_POLICIES, base),
        ):  # fmt: skip
            stage.api.add(resource, ours(name, "gone"))
        job = stage.api.add(JOBS, ours(base, "gone"))
        owned = {"ownerReferences": [{"kind": "Job", "uid": job["metadata"]["uid"]}]}
        stage.api.add(SECRETS, {"metadata": {"name": f"{base}-0", **owned}})
        await stage.restart()
        await stage.until(lambda: stage.left() == [])


async def test_other_people_s_objects_stay() -> None:
    """Another release's, the chart's own, those without a run."""
    async with playing() as stage:
        other = ours("other-release", "gone")
        other["metadata"]["labels"][names.LABEL_INSTANCE] = "other"
        helm = ours("helm", "gone")
        helm["metadata"]["labels"][names.LABEL_MANAGED_BY] = "Helm"
        plain = ours("plain", "")
        for obj in (other, helm, plain):
            stage.api.add(CONFIG_MAPS, obj)
        await asyncio.sleep(700)

        assert len(stage.left()) == 3


async def test_a_running_attempt_is_left_alone() -> None:
    """For as long as it takes."""
    async with playing() as stage:
        stage.submit()
        await stage.started()
        before = stage.left()
        await asyncio.sleep(1300)

        assert stage.left() == before


async def test_objects_of_a_later_attempt_are_left_alone() -> None:
    """They were claimed after our copy of the run was made."""
    async with playing("static") as stage:
        run = stage.submit(retries={"limit": 1, "backoffSeconds": 1000})
        runner = await stage.started()
        await runner.finish(stage.channel, "Failed", reason="FlowFailed", exit_code=1)
        await stage.cleaned()
        stage.api.add(PODS, ours("next-worker", run["metadata"]["uid"], attempt=2))
        stage.api.add(PODS, ours("late-worker", run["metadata"]["uid"], attempt=1))
        await stage.agent.sweeper.sweep()

        assert "pods/next-worker" in stage.left()
        assert "pods/late-worker" not in stage.left()


async def test_a_finished_job_stays_for_its_logs() -> None:
    """With its pod, until its TTL; what turns up late of a finished attempt goes."""
    async with playing() as stage:
        run = stage.submit()
        runner = await stage.started()
        await runner.finish(stage.channel)
        await stage.cleaned()
        late = ours("late-worker", run["metadata"]["uid"])
        stage.api.add(PODS, late)
        await asyncio.sleep(700)

        assert stage.left() == [f"jobs/{stage.jobs()[0]}", f"pods/{runner.pod}"]


@pytest.mark.parametrize("resource", [CONFIG_MAPS, SERVICES, NETWORK_POLICIES, PODS], ids=str)
async def test_what_is_made_after_the_end_goes(resource: Resource) -> None:
    """By an agent that was stopped for minutes in the middle of making it; labels are those of the attempt."""
    async with playing("ephemeral") as stage:
        stage.submit()
        runner = await stage.started()
        await runner.finish(stage.channel)
        await stage.cleaned()
        uid = stage.api.read(FLOWRUNS, "diamond")["metadata"]["uid"]
        component = "scheduler" if resource is PODS else "runner"
        stage.api.add(resource, ours("late", uid, component))
        await asyncio.sleep(700)

        assert "late" not in stage.api.names(resource)
        assert len(stage.jobs()) == 1


async def late_job(stage: Stage) -> str:
    """Play a run to its cleaned-up end, and make its Job once more, as an agent that was stopped does."""
    stage.submit()
    runner = await stage.started()
    (name,) = stage.api.names(JOBS)
    job = stage.api.read(JOBS, name)
    await runner.finish(stage.channel)
    await stage.cleaned()
    stage.api.remove(JOBS, "ns", name)  # its TTL
    await stage.until(lambda: stage.left() == [])
    meta = {k: job["metadata"][k] for k in ("name", "labels", "annotations", "ownerReferences")}
    stage.api.add(JOBS, {"metadata": meta, "spec": job["spec"]})
    return name


@pytest.mark.parametrize("pods", [True, False], ids=["its pod waits", "without a pod"])
async def test_a_job_that_was_made_too_late_goes(pods: bool) -> None:
    """Nobody gives its pod a Secret, so it would never finish; its pod goes with it."""
    async with playing("static") as stage:
        await late_job(stage)
        stage.nodes.no_pods = not pods
        await asyncio.sleep(2)
        assert len(stage.left()) == 1 + pods
        await stage.agent.sweeper.sweep()
        await asyncio.sleep(1)

        assert stage.left() == []


async def test_a_job_whose_pod_has_just_ended_stays() -> None:
    """The Job controller marks it finished later than the agent cleans up; it may be far behind."""
    async with playing("static") as stage:
        name = await late_job(stage)
        await stage.until(lambda: len(stage.left()) == 2)
        (pod,) = stage.api.names(PODS)
        ended = {"phase": "Succeeded"}
        stage.nodes.cut_off.add(pod)
        stage.nodes._see_job = lambda *_: None  # type: ignore[method-assign] # far behind
        stage.api.change(PODS, pod, {"status": ended})
        # Even if our own copy of the pod is old: the API server is asked.
        stage.agent.cache.pods.copies._objects.clear()
        await stage.agent.sweeper.sweep()

        assert stage.left() == [f"jobs/{name}", f"pods/{pod}"]


async def test_a_namesake_s_pod_keeps_no_late_job() -> None:
    """What counts is the Job's own pod, not one that an earlier Job of the attempt has left."""
    async with playing("static") as stage:
        run = stage.submit()
        runner = await stage.started()
        await runner.finish(stage.channel)
        await stage.cleaned()
        await asyncio.sleep(1)
        uid = run["metadata"]["uid"]
        stage.nodes.no_pods = True
        late = ours("late", uid, "runner")
        stage.api.add(JOBS, late)
        await stage.agent.sweeper.sweep()

        assert stage.left() == [f"jobs/{stage.jobs()[0]}", f"pods/{runner.pod}"]


async def test_lists_are_not_held_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands of finished Jobs no more is in memory than two pages; all pages are looked at."""
    async with playing("static") as stage:
        run = stage.submit(suspend=True)
        await stage.until(lambda: stage.phase() == "Suspended")
        for number in range(50):
            stage.api.add(CONFIG_MAPS, ours(f"mine-{number:02}", run["metadata"]["uid"]))
        for name in ("left-a", "zz-left"):
            stage.api.add(CONFIG_MAPS, ours(name, "gone"))
        real, alive, peak = stage.api.list, WeakSet[Any](), 0

        async def small(resource: Any, *args: Any, **more: Any) -> Page:
            nonlocal peak
            page = await real(resource, *args, **more | {"limit": 10})
            items = [Tracked(obj) for obj in page.items]
            del page.items[:]
            alive.update(items)
            peak = max(peak, len(alive))
            return replace(page, items=items)

        monkeypatch.setattr(stage.api, "list", small)

        assert await stage.agent.sweeper.sweep() == 2
        assert len(stage.api.names(CONFIG_MAPS)) == 50
        assert 10 <= peak <= 20


class Tracked(dict[str, Any]):
    """An object whose life can be followed."""

    __hash__ = object.__hash__  # type: ignore[assignment] # found by identity


async def test_a_run_is_gone_only_when_the_server_says_so() -> None:
    """A FlowRun that has not reached the cache yet loses nothing."""
    async with playing() as stage:
        run = stage.submit("lost", suspend=True)
        stage.api.add(CONFIG_MAPS, ours("mine", run["metadata"]["uid"]))
        stage.agent.cache._run_names.clear()

        assert await stage.agent.sweeper.sweep() == 0
        assert stage.api.names(FLOWRUNS) == ["lost"]


async def test_a_sweep_that_fails_is_tried_again() -> None:
    """The API server may be away at the start."""
    async with playing() as stage:
        await stage.kill_agent()
        stage.api.add(JOBS, ours("f-lost-1", "gone", "runner", status={"started": True}))
        stage.api.faults.fail("list", "services", Unreachable("down"))
        stage.api.add(SERVICES, ours("service", "gone"))
        await stage.restart()
        await asyncio.sleep(40)

        assert stage.left() == []


async def test_no_mistake_ends_the_sweep_or_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer nobody has thought of must not take the agent down."""
    async with playing("static") as stage:
        broken = {"list": 1, "create": 1}

        def breaking(verb: str, call: Any) -> Any:
            async def step(resource: Any, *args: Any, **kwargs: Any) -> Any:
                if resource in (EVENTS, CONFIG_MAPS) and broken.get(verb):
                    broken[verb] -= 1
                    raise TypeError("no such answer")
                return await call(resource, *args, **kwargs)

            return step

        for verb in broken:
            monkeypatch.setattr(stage.api, verb, breaking(verb, getattr(stage.api, verb)))
        stage.agent.events.tell(FlowRun.parse(stage.submit(suspend=True)), "Told", "first")
        stage.api.add(CONFIG_MAPS, ours("left", "gone"))
        await asyncio.sleep(60)

        assert broken == {"list": 0, "create": 0}
        assert stage.left() == []
        assert stage.api.names(EVENTS)

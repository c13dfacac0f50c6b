"""The agent dies before and after each of its writes; the next one ends the run, once, as it should.

Each story is played once to see its writes, then once for each of them with a death there. A step of the
protocol that no story reaches, or a write without a name, fails.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dask_flows.agent.status import claimed
from dask_flows.agent.steps import STEPS
from dask_flows.flowrun import FlowRun
from dask_flows.kube.errors import Forbidden
from dask_flows.kube.failpoints import AFTER, BEFORE
from dask_flows.kube.resources import (
    CONFIG_MAPS,
    FLOWRUNS,
    JOBS,
    LEASES,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
)
from dask_flows.manifests import (
    config_map,
    job,
    network_policy,
    scheduler_pod,
    scheduler_service,
    worker_pod,
)
from dask_flows.names import ANNOTATION_TARGET
from dask_flows.plan import Plan, make_plan
from fakes.mortal import UNNAMED, Fate, Mortal, dying
from fakes.runner import FakeRunner
from invariants.rules import broken
from samples import agent_config

pytestmark = pytest.mark.looptime

Story = Callable[[Mortal], Awaitable[str]]  # plays a run to its end; returns the right end


async def begun(stage: Mortal) -> FakeRunner:
    """Bring an attempt to where its flow runs."""
    runner = await stage.runner()
    assert await stage.begin(runner) == 200
    assert (await stage.say(runner, "beat", workers=1)).status == 200
    await asyncio.sleep(1)
    return runner


async def succeeds(stage: Mortal) -> str:
    """One attempt, no trouble."""
    stage.submit(workers={"replicas": 2})
    await stage.say(await begun(stage), "finish")
    return "Succeeded"


async def is_retried(stage: Mortal) -> str:
    """The flow raises once, then succeeds."""
    stage.submit(workers={"replicas": 2}, retries={"limit": 1, "backoffSeconds": 2})
    first = await begun(stage)
    failed = {"outcome": "Failed", "reason": "FlowFailed", "message": "boom", "exit_code": 1}
    await stage.say(first, "finish", **failed)
    second = await begun(stage)
    assert second.pod != first.pod
    await stage.say(second, "finish")
    return "Succeeded"


async def is_cancelled(stage: Mortal) -> str:
    """Cancelled while it runs; the runner hears it and stops."""
    stage.submit(workers={"replicas": 2})
    runner = await begun(stage)
    stage.edit(cancel=True)
    async with asyncio.timeout(20):
        while not (await stage.say(runner, "beat", waitSeconds=5)).body["stop"]:
            pass
    await stage.say(runner, "finish", outcome="Cancelled", reason="Cancelled", exit_code=143)
    return "Cancelled/Cancelled"


async def is_suspended(stage: Mortal) -> str:
    """Suspended at first, then released."""
    stage.submit(suspend=True)
    await stage.until(lambda: stage.phase() == "Suspended")
    stage.edit(suspend=False)
    await stage.say(await begun(stage), "finish")
    return "Succeeded"


async def rests(stage: Mortal) -> str:
    """Suspended while it runs, and resumed when all of its attempt is gone."""
    stage.submit(workers={"replicas": 2})
    runner = await begun(stage)
    stage.edit(suspend=True)
    await stage.until(lambda: stage.condition("Stopping"))
    await stage.say(runner, "finish", outcome="Failed", reason="Suspended", exit_code=143)
    await stage.cleaned()
    stage.edit(suspend=False)
    await stage.say(await begun(stage), "finish")
    return "Succeeded"


async def is_cut_off(stage: Mortal) -> str:
    """The runner's node falls silent, and is then deleted with its pod."""
    stage.submit(retries={"backoffSeconds": 2})
    runner = await begun(stage)
    stage.nodes.cut_off.add(runner.pod)
    stage.api.change(PODS, runner.pod, {"status": {"reason": "NodeLost"}})
    await stage.until(lambda: stage.condition("NodeUnreachable"))
    stage.api.remove(PODS, "ns", runner.pod, grace=0)
    await stage.say(await begun(stage), "finish")
    return "Succeeded"


async def is_paused(stage: Mortal) -> str:
    """The Lease of the upgrade that led to this agent is still there."""
    annotations = {ANNOTATION_TARGET: stage.config.config_hash}
    stage.api.add(LEASES, {"metadata": {"name": "r-dask-flows-pause", "annotations": annotations}})
    return await succeeds(stage)


async def waits_for_an_image(stage: Mortal) -> str:
    """Its image cannot be pulled for a while."""
    waiting = {"reason": "ErrImagePull", "message": "no such image"}
    status = {"containerStatuses": [{"name": "runner", "state": {"waiting": waiting}}]}
    stage.nodes.broken["-1-0"] = status
    stage.submit()
    await stage.until(lambda: stage.status().get("reason"))
    stage.nodes.broken.clear()
    await stage.say(await begun(stage), "finish")
    return "Succeeded"


async def is_stubborn(stage: Mortal) -> str:
    """Cancelled, and its runner does not mind."""
    stage.submit(workers={"replicas": 1})
    await begun(stage)
    stage.edit(cancel=True)
    return await is_over(stage, "Cancelled/Cancelled")


async def never_gets_a_pod(stage: Mortal) -> str:
    """Cancelled before the Job has a pod."""
    stage.nodes.no_pods = True
    stage.submit()
    await stage.until(stage.jobs)
    stage.edit(cancel=True)
    return await is_over(stage, "Cancelled/Cancelled")


async def is_scaled(stage: Mortal) -> str:
    """Its scheduler asks for a second worker."""
    stage.submit(workers={"minimum": 1, "maximum": 2})
    runner = await begun(stage)
    more = {"wanted": 2, "idle": []}
    async with asyncio.timeout(60):
        while sum("-worker-" in pod for pod in stage.api.names(PODS)) < 2:
            await stage.say(runner, "beat", workers=1, scaling=more)
            await asyncio.sleep(1)
    await asyncio.sleep(5)
    await stage.say(runner, "beat", workers=2, scaling=more)
    await asyncio.sleep(1)
    await stage.say(runner, "finish")
    return "Succeeded"


async def is_joined(stage: Mortal) -> str:
    """Somebody gives the shared cluster a second worker, which the runner sees."""
    stage.submit()
    runner = await begun(stage)
    async with asyncio.timeout(60):
        while stage.status().get("workers") != 2:
            await stage.say(runner, "beat", workers=2)
            await asyncio.sleep(1)
    await stage.say(runner, "finish")
    return "Succeeded"


async def is_not_let_go(stage: Mortal) -> str:
    """For a moment the agent has no right to clean up."""
    stage.submit()
    runner = await begun(stage)
    own = stage.config.mode == "ephemeral"
    verb, resource = ("delete", "configmaps") if own else ("patch", "jobs")
    refused = Forbidden(f"Forbidden: {verb}", verb=verb, resource=resource)
    stage.api.faults.fail(verb, resource, refused, times=2)
    await stage.say(runner, "finish")
    return "Succeeded"


async def is_switched(stage: Mortal) -> str:
    """Claimed in another mode by the agent before an upgrade, which died before it made the Job."""
    left_by_another(stage, other(stage))
    await stage.say(await begun(stage), "finish")
    return "Succeeded"


async def is_abandoned(stage: Mortal) -> str:
    """The agent before made the Job, and died before its Secret."""
    plan, run = left_by_another(stage, stage.config.mode)
    stage.api.add(JOBS, job(plan, run, "0" * 64))
    await stage.say(await begun(stage), "finish")
    return "Succeeded"


async def is_inherited(stage: Mortal) -> str:
    """The same, and the release was switched: the attempt keeps its mode, which is not the agent's."""
    plan, run = left_by_another(stage, other(stage))
    stage.api.add(JOBS, job(plan, run, "0" * 64))
    await stage.say(await begun(stage), "finish")
    assert stage.status()["mode"] == plan.mode
    return "Succeeded"


def other(stage: Mortal) -> str:
    """Return the mode that the release is not in."""
    return "ephemeral" if stage.config.mode == "static" else "static"


def left_by_another(stage: Mortal, mode: str) -> tuple[Plan, FlowRun]:
    """Submit a run that another agent has claimed, with all of its objects that come before the Job."""
    run = FlowRun.parse(stage.submit(workers={"replicas": 1}))
    patch = claimed(run, mode, (), stage.clock.now())
    run = FlowRun.parse(stage.api.change(FLOWRUNS, "diamond", {"status": patch}))
    plan = make_plan(agent_config(mode), run, mode, 1)
    if mode != "ephemeral":
        return plan, run
    service = stage.api.add(SERVICES, scheduler_service(plan))
    plan = plan.at(service["spec"]["clusterIP"])
    stage.api.add(NETWORK_POLICIES, network_policy(plan))
    stage.api.add(CONFIG_MAPS, config_map(plan, run))
    for pod in (scheduler_pod(plan), worker_pod(plan, 0)):
        stage.api.add(PODS, pod)
    return plan, run


async def is_over(stage: Mortal, end: str) -> str:
    """Wait for an end that needs no runner's word."""
    await stage.until(lambda: stage.phase() == end, 60)
    return end


MAIN = {"succeeds": succeeds, "retried": is_retried, "cancelled": is_cancelled}
BOTH = ("static", "ephemeral")
RARE: dict[str, tuple[tuple[str, ...], Story]] = {
    "suspended": (BOTH, is_suspended),
    "rests": (BOTH, rests),
    "cut off": (BOTH, is_cut_off),
    "paused": (BOTH, is_paused),
    "image": ((*BOTH, "local"), waits_for_an_image),
    "stubborn": (BOTH, is_stubborn),
    "no pod": (BOTH, never_gets_a_pod),
    "scaled": (("ephemeral",), is_scaled),
    "joined": (("static",), is_joined),
    "forbidden": (BOTH, is_not_let_go),
    "abandoned": (BOTH, is_abandoned),
    "switched": (BOTH, is_switched),
    "inherited": (BOTH, is_inherited),
}
RARELY = {
    f"{name}-{mode}": (mode, story) for name, (modes, story) in RARE.items() for mode in modes
}
# What no agent of a mode ever writes. It may remove a cluster in either: of an attempt that another mode left.
NEVER = {
    ("service", "static"): "the address of the shared cluster is the chart's",
    ("networkpolicy", "static"): "what is reached is the chart's, and shared",
    ("configmap", "static"): "there are no pods whose templates it would pin",
    ("scheduler", "static"): "the shared one is the chart's",
    ("worker", "static"): "the shared ones are the chart's",
    ("reserve", "static"): "nobody numbers the chart's workers",
}


async def play(
    story: Story, mode: str, write: int = 0, moment: str = AFTER, **options: Any
) -> tuple[Fate, list[str]]:
    """Play a story with a death; returns the first agent's life and what was wrong."""
    try:
        async with dying(mode, write, moment) as stage:
            for plural in options.get("slow", ()):
                stage.api.faults.fail("watching", plural, times=1_000_000, delay=1.5)
            end = await story(stage)
            await stage.cleaned()
            await asyncio.sleep(3)
            evidence = stage.evidence()
            if story not in MAIN.values():  # a rare life costs more than a plain one, within bounds
                evidence.handed_over = evidence.counted
            wrong = broken(evidence)
            if stage.phase() != end:
                wrong.append(f"it ended {stage.phase()} and not {end}: {stage.status()}")
            # Whoever hears late may need fewer writes.
            if write and not stage.fates[0].dead and not options:
                wrong.append("the death did not come")
            return stage.fates[0], wrong
    except (AssertionError, TimeoutError) as error:
        phase = stage.phase() if "diamond" in stage.api.names(FLOWRUNS) else "-"
        return stage.fates[0], [f"it hung or broke at {phase}: {error!r}", *stage.left()]


async def deaths(story: Story, mode: str, moment: str, **options: Any) -> list[str]:
    """Play a story with a death at each of its writes; returns what was wrong, named."""
    fate, wrong = await play(story, mode, **options)
    assert not wrong, f"without any death: {wrong}"
    found = []
    for number, step in enumerate(fate.seen, 1):
        if moment == AFTER and number not in fate.taken:
            continue  # the API server refused it: there is no moment after it
        assert not step.startswith(UNNAMED), f"a write has no name in agent/steps.py: {step}"
        _, wrong = await play(story, mode, number, moment, **options)
        found += [f"{moment} write {number} ({step}): {line}" for line in wrong]
    return found


@pytest.mark.parametrize("moment", [BEFORE, AFTER])
@pytest.mark.parametrize("mode", ["static", "ephemeral", "local"])
@pytest.mark.parametrize("story", MAIN.values(), ids=MAIN)
async def test_a_death_at_any_write_is_repaired(story: Story, mode: str, moment: str) -> None:
    """Row 1: one Job and one start for each attempt, the right end, nothing left, no step back."""
    assert await deaths(story, mode, moment) == []


@pytest.mark.parametrize("moment", [BEFORE, AFTER])
@pytest.mark.parametrize(("mode", "story"), RARELY.values(), ids=RARELY)
async def test_a_death_on_a_rare_way_is_repaired(story: Story, mode: str, moment: str) -> None:
    """Row 1: the same where something waits, is refused, or has to be ended by force."""
    assert await deaths(story, mode, moment) == []


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
async def test_a_slow_watch_does_not_matter(mode: str) -> None:
    """Row 1: every agent hears of everything 1.5 s late, and still does nothing twice."""
    assert await deaths(is_retried, mode, AFTER, slow=("*",)) == []


@pytest.mark.parametrize("mode", BOTH)
async def test_every_step_is_met_or_cannot_be(mode: str) -> None:
    """Every step has a death before and after it in either mode, or a reason why there is none."""
    seen: set[str] = set()
    taken: set[str] = set()
    rare = [story for one, story in RARELY.values() if one == mode]
    for story in (*MAIN.values(), *rare):
        fate, wrong = await play(story, mode)
        assert not wrong
        seen.update(fate.seen)
        taken.update(fate.seen[number - 1] for number in fate.taken)

    assert seen == taken == {step for step in STEPS if (step, mode) not in NEVER}


def test_what_cannot_be_is_about_steps_and_modes_that_are() -> None:
    """The table of exceptions outlives no step."""
    assert {step for step, _ in NEVER} <= set(STEPS)
    assert {mode for _, mode in NEVER} <= set(BOTH)

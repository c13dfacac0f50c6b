"""Each right of the agent taken away in turn: said clearly, borne, and made good once it is back."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from dask_flows.kube.errors import Unreachable, error_from
from dask_flows.kube.resources import EVENTS, JOBS, LEASES, PODS
from fakes.api import RESOURCES
from fakes.faults import Fault
from fakes.runner import FakeRunner
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime

RULES = Path(__file__).parents[3] / "charts/dask-flows/templates/agent/_rules.tpl"
AWAY = 15.0  # seconds for which the right is gone, before and after a restart of the agent
# Granted, and missed by nobody in a run of this kind; who misses each is in ``RARE``.
SPARE = {
    ("list", "events"), ("watch", "events"), ("get", "pods"), ("patch", "pods"),
    ("delete", "jobs"), ("get", "flowruns"),
    ("delete", "leases"), ("get", "jobs"),
}  # fmt: skip
SPARE_IN_STATIC = {
    (verb, kind)
    for verb in ("create", "delete", "get")
    for kind in ("pods", "services", "networkpolicies", "configmaps")
}


def rights() -> list[tuple[str, str]]:
    """Return every verb and resource that the chart grants the agent."""
    text = re.sub(r"\{\{-? /\*.*?\*/\}\}", "", RULES.read_text(), flags=re.DOTALL)
    text = re.sub(r"(?m)^\{\{.*?\}\}$", "", text)
    rules = yaml.safe_load(re.sub(r"\{\{.*?\}\}", "x", text))
    return sorted({(v, r) for rule in rules for r in rule["resources"] for v in rule["verbs"]})


def needed() -> list[tuple[str, str, str]]:
    """Return each mode with each right that is missed in it."""
    spare = {"static": SPARE | SPARE_IN_STATIC, "ephemeral": SPARE}
    return [(mode, *right) for mode in spare for right in rights() if right not in spare[mode]]


def take_away(stage: Stage, verb: str, resource: str) -> Fault:
    """Refuse a verb as the API server does, from the next request on."""
    plural, _, subresource = resource.partition("/")
    message = f'{resource} is forbidden: User "agent" cannot {verb} resource "{resource}"'
    status = {"kind": "Status", "message": message}
    error = error_from(403, status, verb=verb, resource=str(RESOURCES[plural]))
    asked = f"{verb}/{subresource}" if subresource else verb
    return stage.api.faults.fail(asked, plural, error, times=10**9)


async def play(stage: Stage, name: str) -> None:
    """Play a run's runner, which asks again as long as the agent cannot answer."""
    runner = FakeRunner(stage.api, stage.nodes, name)
    await asyncio.wait_for(runner.ready(), 300)
    await persist(stage, runner, "start")
    await persist(stage, runner, "beat", workers=1)
    await persist(stage, runner, "finish", **runner.record().to_dict())
    runner.die(0, "Succeeded")


async def persist(stage: Stage, runner: FakeRunner, verb: str, **body: Any) -> None:
    """Repeat a call until it is taken."""
    if verb == "start":
        body = {"podUid": runner.object["metadata"]["uid"], "podName": runner.pod}
    elif verb == "beat":
        body |= {"podUid": runner.object["metadata"]["uid"], "phase": "running", "waitSeconds": 0}
    async with asyncio.timeout(300):
        while (await runner.call(stage.channel, verb, **body)).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(1)


async def check_end(stage: Stage) -> None:
    """Both runs are over, once and well, and nothing is said against it."""
    for name in ("early", "late"):
        await stage.until(lambda name=name: stage.condition("CleanedUp", name), 120)  # type: ignore[misc]
        assert stage.phase(name) == "Succeeded"
        assert stage.condition("Blocked", name) is None
    assert len(stage.jobs()) == len(set(stage.jobs())) == 2


@pytest.mark.parametrize(("mode", "verb", "resource"), needed())
async def test_a_right_is_missing_for_a_while(
    mode: str, verb: str, resource: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Row 36: the agent stays up, says which right it misses, and every run ends well afterwards.

    A run that is at work already ends meanwhile, unless its end cannot be written.
    """
    caplog.set_level(logging.INFO)
    async with playing(mode) as stage:
        stage.submit("early")
        early = await stage.started("early")
        fault = take_away(stage, verb, resource)
        stage.api.store.forget_history()  # rights are asked when a list or a watch begins
        await asyncio.sleep(1)
        stage.submit("late")
        late = asyncio.create_task(play(stage, "late"))
        end = asyncio.create_task(persist(stage, early, "finish", **early.record().to_dict()))
        await asyncio.sleep(AWAY)
        assert end.done() == ((verb, resource) != ("patch", "flowruns/status"))
        await stage.restart()
        await asyncio.sleep(AWAY)

        assert stage._acting is not None
        assert not stage._acting.done()
        said = [r for r in caplog.records if f"cannot {verb} resource" in r.getMessage()]
        assert 1 <= len(said) < 60
        assert not [r for r in caplog.records if r.exc_info]

        fault.times = 0
        await asyncio.gather(end, late)
        early.die(0, "Succeeded")
        await check_end(stage)


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
async def test_nobody_misses_the_other_rights(mode: str) -> None:
    """Row 36: what is granted for rare moments may be missing in a run without them."""
    async with playing(mode) as stage:
        for verb, resource in SPARE | (SPARE_IN_STATIC if mode == "static" else set()):
            take_away(stage, verb, resource)
        for name in ("early", "late"):
            stage.submit(name)
            await play(stage, name)
        await check_end(stage)


Moments = AsyncGenerator[None, None]


async def cancelled_before_its_start(stage: Stage) -> Moments:
    """A Job without a log is removed."""
    stage.nodes.start_after = 1000
    stage.submit()
    await stage.until(lambda: stage.api.names(JOBS))
    yield
    stage.edit(cancel=True)
    yield
    assert stage.phase() == "Cancelled/Cancelled"
    await stage.cleaned()
    await stage.until(lambda: stage.left() == [])


async def deaf_to_a_cancel(stage: Stage) -> Moments:
    """A runner that does not hear is ended by a deadline on its pod."""
    stage.submit()
    runner = await stage.started()
    yield
    stage.edit(cancel=True)
    yield
    assert "activeDeadlineSeconds" not in runner.object["spec"]
    await stage.cleaned()
    assert stage.phase() == "Cancelled/Cancelled"


async def half_begun(stage: Stage) -> Moments:
    """A new agent finds an attempt whose Job is missing, and looks at what is there already."""
    down = stage.api.faults.fail("create", "jobs", Unreachable("down"), times=10**9)
    stage.submit()
    await stage.until(lambda: len(stage.api.names(PODS)) > 1)
    await stage.kill_agent()
    yield
    down.times = 0
    await stage.restart()
    yield
    assert stage.jobs() == []
    await play(stage, "diamond")
    await stage.cleaned()
    assert len(stage.jobs()) == 1


async def without_a_pod(stage: Stage) -> Moments:
    """A Job that gets no pod is read, to ask whether its pod would be admitted."""
    stage.nodes.no_pods = True
    yield
    stage.submit()
    yield
    stage.nodes.no_pods = False
    await play(stage, "diamond")
    await stage.cleaned()


async def after_an_upgrade(stage: Stage) -> Moments:
    """The upgraded agent removes the Lease that made claims wait, and claims only then."""
    annotations = {"dask-flows.dev/target-config": stage.config.config_hash}
    lease = {"name": stage.config.pause_lease, "annotations": annotations}
    yield
    stage.api.add(LEASES, {"metadata": lease})
    stage.submit()
    yield
    assert stage.api.names(LEASES) == [stage.config.pause_lease]
    assert stage.jobs() == []
    await play(stage, "diamond")
    await stage.cleaned()
    assert stage.api.names(LEASES) == []


async def told_by_an_event(stage: Stage) -> Moments:
    """What is said by an event alone is not shown, and shown once events can be read."""
    stage.nodes.broken["-1-"] = {"conditions": []}
    stage.submit()
    await stage.until(lambda: stage.api.names(PODS))
    yield
    stage.api.store.forget_history()  # rights are asked when a list or a watch begins
    about = {"kind": "Pod", "name": stage.api.names(PODS)[0], "namespace": "ns"}
    event = {"type": "Warning", "reason": "FailedMount", "message": 'secret "db" not found'}
    stage.api.add(EVENTS, {"metadata": {"name": "told"}, **event, "involvedObject": about})
    yield
    await stage.until(lambda: stage.phase() == "Starting/ContainerStart")


class Rare(NamedTuple):
    """What happens in which mode, and where the missing right is shown; a log line stands in any case."""

    story: Callable[[Stage], Moments]
    mode: str
    shown: str


RARE = {
    ("delete", "jobs"): Rare(cancelled_before_its_start, "static", "Blocked"),
    ("patch", "pods"): Rare(deaf_to_a_cancel, "static", "reason"),
    ("get", "flowruns"): Rare(half_begun, "ephemeral", "reason"),
    ("get", "pods"): Rare(half_begun, "ephemeral", "reason"),
    ("get", "jobs"): Rare(without_a_pod, "static", "reason"),
    ("delete", "leases"): Rare(after_an_upgrade, "static", "reason"),
    # Which runs an event would have told of nobody knows: no run can show that.
    ("list", "events"): Rare(told_by_an_event, "static", "log"),
    ("watch", "events"): Rare(told_by_an_event, "static", "log"),
}


def shown(stage: Stage) -> tuple[str, str]:
    """Return where a run shows a missing right, and the words."""
    status, blocked = stage.status(), stage.condition("Blocked")
    if blocked is not None:
        assert blocked["reason"] == "Forbidden"
        return "Blocked", blocked["message"]
    if status.get("reason") == "Forbidden":
        return "reason", status["message"]
    return "log", ""


def test_every_right_is_needed_by_somebody() -> None:
    """A right that no run of any kind misses would be granted for nothing."""
    assert set(RARE) == SPARE


@pytest.mark.parametrize(("verb", "resource"), sorted(RARE))
async def test_a_right_for_a_rare_moment_is_missing_then(
    verb: str, resource: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Row 36: the run shows which right is missing, or the log where no run can, and goes on once it is back."""
    caplog.set_level(logging.INFO)
    story, mode, where = RARE[verb, resource]
    async with playing(mode) as stage, aclosing(story(stage)) as moments:
        await anext(moments)
        fault = take_away(stage, verb, resource)
        await anext(moments)
        await asyncio.sleep(AWAY)

        missing = f'cannot {verb} resource "{resource}"'
        found, words = shown(stage)
        assert found == where, stage.status()
        if where != "log":
            assert missing in words
            assert "have the right granted" in words
        assert 1 <= sum(missing in record.getMessage() for record in caplog.records) < 60
        assert not [record for record in caplog.records if record.exc_info]

        fault.times = 0
        with pytest.raises(StopAsyncIteration):
            await anext(moments)
        assert shown(stage) == ("log", "")

"""Each right of the agent taken away in turn: said clearly, borne, and made good once it is back."""

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dask_flows.kube.errors import error_from
from fakes.api import RESOURCES
from fakes.faults import Fault
from fakes.runner import FakeRunner
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime

RULES = Path(__file__).parents[3] / "charts/dask-flows/templates/agent/_rules.tpl"
AWAY = 15.0  # seconds for which the right is gone, before and after a restart of the agent
# Granted, and missed by nobody in a run of this kind.
SPARE = {
    ("list", "events"), ("watch", "events"), ("get", "pods"), ("patch", "pods"),
    ("delete", "jobs"), ("get", "flowruns"),
    ("delete", "leases"), ("get", "jobs"), ("get", "configmaps"), ("get", "services"),
}  # fmt: skip
SPARE_IN_STATIC = {
    (verb, kind)
    for verb in ("create", "delete", "get")
    for kind in ("pods", "services", "configmaps")
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

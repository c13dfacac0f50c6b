"""Calls of runners around a death of the agent: lost answers, restarts in between, replays, late calls."""

import asyncio
import copy
from typing import Any

import pytest

from dask_flows.kube.resources import FLOWRUNS, PODS
from fakes.mortal import Mortal, dying
from fakes.runner import FakeRunner
from invariants.rules import broken

pytestmark = pytest.mark.looptime

FAILED = {"outcome": "Failed", "reason": "FlowFailed", "message": "boom", "exit_code": 1}
CALLS = ("start", "beat", "finish")


async def call(stage: Mortal, runner: FakeRunner, verb: str, **body: Any) -> int:
    """Make one of a runner's calls; the first start is where its flow begins."""
    if verb == "start":
        return await stage.begin(runner)
    return (await stage.say(runner, verb, **body)).status


async def over(stage: Mortal) -> list[str]:
    """Wait for the end; returns what is wrong with it."""
    await stage.cleaned()
    await asyncio.sleep(1)  # the Job controller counts the pod
    assert stage.phase() == "Succeeded"
    return broken(stage.evidence())


@pytest.mark.parametrize("mode", ["static", "ephemeral"])
@pytest.mark.parametrize("gap", range(len(CALLS) + 1))
async def test_the_agent_is_restarted_between_two_calls(mode: str, gap: int) -> None:
    """Row 1: before the first, between any two, and after the last; nobody notices."""
    async with dying(mode) as stage:
        stage.submit()
        runner = await stage.runner()
        for number, verb in enumerate(CALLS):
            if number == gap:
                await stage.restart()
            assert await call(stage, runner, verb) == 200
        if gap == len(CALLS):
            await stage.restart()

        assert await over(stage) == []


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("repeated", CALLS)
async def test_a_call_whose_answer_was_lost_is_answered_the_same(
    repeated: str,
    restarted: bool,
) -> None:
    """Row 1: the runner says it again, perhaps to the next agent: same answer, nothing written."""
    async with dying("static") as stage:
        stage.submit()
        runner = await stage.runner()
        for verb in CALLS:
            answer = await stage.say(runner, verb)
            if verb == repeated:
                await asyncio.sleep(1)  # what a beat tells is written soon
                before = stage.status()
                if restarted:
                    await stage.restart()
                again = await stage.say(runner, verb)
                assert (answer.status, answer.body) == (again.status, again.body)
                unchanged = {**stage.status(), "conditions": None}
                assert unchanged == {**before, "conditions": None}
        await stage.cleaned()


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("after", CALLS)
async def test_a_second_pod_never_starts(after: str, restarted: bool) -> None:
    """Row 6: whatever the first pod has said by then, and whichever agent is asked: 409."""
    async with dying("static") as stage:
        stage.submit()
        runner = await stage.runner()
        copied = copy.deepcopy(runner.object)
        copied["metadata"] |= {"name": f"{runner.pod}-copy", "uid": "another", "labels": {}}
        copied["metadata"]["labels"] = {**runner.labels, "dask-flows.dev/run": "nobody"}
        stage.api.add(PODS, copied)
        token = runner.token()
        for verb in CALLS:
            assert (await stage.say(runner, verb)).status == 200
            if verb == after:
                break
        if restarted:
            await stage.restart()
        second = await stage.say(runner, "start", podUid="another", token=token)

        assert second.status == 409
        assert stage.status()["startedBy"] != "another"


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_wrong_token_changes_nothing(restarted: bool) -> None:
    """Row 1: no call is taken with it, before and after a restart."""
    async with dying("static") as stage:
        stage.submit()
        runner = await stage.runner()
        for verb in CALLS:
            if restarted:
                await stage.restart()
            await asyncio.sleep(1)  # what a beat tells is written soon
            before = stage.api.read(FLOWRUNS, "diamond")
            said = runner.record().to_dict() | {"podUid": runner.object["metadata"]["uid"]}
            answer = await runner.call(stage.channel, verb, token="wrong", **said)
            assert answer.status == 401
            assert stage.api.read(FLOWRUNS, "diamond") == before
            assert await call(stage, runner, verb) == 200

        assert await over(stage) == []


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("late", CALLS)
async def test_a_late_call_of_an_old_attempt_changes_nothing(
    late: str,
    restarted: bool,
) -> None:
    """Row 1: attempt 1 is told that it is over, and attempt 2 goes on."""
    async with dying("static") as stage:
        stage.submit(retries={"limit": 1, "backoffSeconds": 1})
        first = await stage.runner()
        for verb in CALLS:
            assert await call(stage, first, verb, **(FAILED if verb == "finish" else {})) == 200
        second = await stage.runner()
        assert await call(stage, second, "start") == 200
        if restarted:
            await stage.restart()
        before = stage.status()
        answer = await stage.say(first, late)

        if late == "beat":
            assert answer.status in (401, 404) or answer.body["stop"]
        elif late == "start":
            assert answer.status in (401, 404, 409)
        assert stage.status() == before
        assert await call(stage, second, "finish") == 200
        assert await over(stage) == []

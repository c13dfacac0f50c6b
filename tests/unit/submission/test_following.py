"""Who follows a run sees every attempt's log, one after the other, and then the end."""

import asyncio
from typing import Any

import pytest

from dask_flows.deadline import Deadline
from dask_flows.kube.resources import PODS
from dask_flows.submission.following import follow
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime


async def attempt(stage: Stage, number: int, line: str, outcome: str, **record: Any) -> None:
    """Play one attempt; its line is there before its pod runs, so that nobody is too early."""

    def pods() -> list[str]:
        return [name for name in stage.api.names(PODS) if f"-{number}-" in name]

    await stage.until(pods)
    stage.api.print_log(pods()[0], line)
    await (await stage.started()).finish(stage.channel, outcome, **record)


async def test_the_logs_of_all_attempts_are_shown_in_order() -> None:
    """And the run's end is waited for, not the first attempt's."""
    async with playing("static") as stage:
        log: list[str] = []
        said: list[str] = []
        stage.submit(retries={"limit": 1})
        deadline = Deadline(600, stage.clock)
        following = asyncio.create_task(
            follow(stage.api, "ns", "diamond", deadline, log=log.append, say=said.append)
        )
        stage.nodes.start_after = 3
        await attempt(stage, 1, "first", "Failed", reason="FlowFailed", exit_code=1)
        await attempt(stage, 2, "second", "Succeeded")

        assert (await following)["phase"] == "Succeeded"
        assert log == ["first", "second"]
        assert said[-1] == "diamond: Succeeded"

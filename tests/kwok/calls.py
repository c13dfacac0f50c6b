"""The runner's calls to the agent, for many runners in one event loop.

The rules are those of ``dask_flows.channel``, whose limits and outcome record are used as they are.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from dask_flows.channel import (
    CALL_TIMEOUT,
    CONFLICT,
    FINISH_SECONDS,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    NOT_FOUND,
    OK,
    UNAUTHORIZED,
    UNKNOWN_GRACE,
    Answer,
)

HOLD = 10.0


class Calls:
    """One attempt's line to the agent."""

    def __init__(
        self, session: aiohttp.ClientSession, attempt: Mapping[str, Any], token: str, pod: str
    ) -> None:
        self._session = session
        self._base = (
            f"{attempt['channel']['url']}/v1/attempts/{attempt['uid']}/{attempt['attempt']}"
        )
        self._headers = {"Authorization": f"Bearer {token}"}
        self._pod = {"podUid": pod, "podName": pod}
        self.count = 0

    async def call(self, verb: str, body: Mapping[str, Any], timeout: float) -> Answer:  # noqa: ASYNC109 - of one request
        """Make one call; status 0 if nobody answers."""
        self.count += 1
        try:
            async with self._session.post(
                f"{self._base}/{verb}",
                json=body,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=timeout),
            ) as response:
                text = await response.read()
                return Answer(response.status, json.loads(text or b"{}"))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Answer(0, {"message": f"{type(error).__name__}: {error}"})

    async def start(self, seconds: float) -> bool:
        """Ask for leave to start until the agent answers; returns whether it was given."""
        begin = time.monotonic()
        pause = FIRST_PAUSE
        while time.monotonic() - begin < seconds:
            answer = await self.call("start", self._pod, CALL_TIMEOUT)
            if answer.status == OK:
                return True
            unknown = answer.status == NOT_FOUND and time.monotonic() - begin > UNKNOWN_GRACE
            if unknown or answer.status in (UNAUTHORIZED, CONFLICT):
                return False
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)
        return False

    async def beat(self, phase: str, workers: int, hold: float = HOLD) -> Answer:
        """Tell progress."""
        body = {**self._pod, "phase": phase, "workers": workers, "waitSeconds": hold}
        return await self.call("beat", body, hold + CALL_TIMEOUT)

    async def finish(self, outcome: Mapping[str, Any]) -> bool:
        """Report the outcome as long as a runner does; returns whether the agent has it."""
        end = time.monotonic() + FINISH_SECONDS
        pause = FIRST_PAUSE
        while (left := end - time.monotonic()) > 0:
            answer = await self.call("finish", outcome, min(CALL_TIMEOUT, left))
            if answer.status in (OK, UNAUTHORIZED, NOT_FOUND, CONFLICT):
                return answer.status == OK
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)
        return False

"""How a run comes to each phase of its life, and what is said to it there.

The run's runners are played: each goes on as far as the gates of its ``Play`` are open.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from dask_flows.deadline import parse_timestamp
from dask_flows.kube.resources import FLOWRUNS, PODS
from fakes.runner import FakeRunner
from fakes.stage import Stage, playing

Verb = Callable[[Stage], Awaitable[None]]
START_DEADLINE = 10
BEAT = 1.0  # seconds for which a beat is held
CODES = {"SchedulerLost": 4, "DeadlineExceeded": 5}  # of a runner that is told to stop, else 143


class Play:
    """A stage, and the runners of one run, who go on as far as the gates are open."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.start, self.run, self.end, self.ears = (asyncio.Event() for _ in range(4))
        self.ears.set()
        self.fails = 0  # so many attempts end with an error of the flow
        self.lingers = False  # a runner's process outlives its report
        self.deaf = False  # the present runner does nothing any more

    async def act(self) -> None:
        """Play one runner after the other, for ever."""
        while True:
            runner = FakeRunner(self.stage.api, self.stage.nodes, "diamond")
            await self._live(await runner.ready())
            await self.stage.until(lambda runner=runner: not _alive(self.stage, runner.pod), 60)
            self.deaf = self.lingers = False

    def open(self) -> None:
        """Let everybody go on to the end."""
        for gate in (self.start, self.run, self.end, self.ears):
            gate.set()

    async def _live(self, runner: FakeRunner) -> None:
        await self.start.wait()
        if self.deaf:
            return
        answer = await runner.start(self.stage.channel)
        if answer.status == 409:
            runner.die(96)
            return
        assert answer.status == 200
        while True:
            await self.ears.wait()
            if self.deaf:
                return
            phase = "running" if self.run.is_set() else "cluster"
            beat = await runner.beat(self.stage.channel, phase, workers=1, waitSeconds=BEAT)
            if (stop := beat.body["stop"]) is not None:
                await self._end_as_told(runner, stop["reason"])
                return
            if self.end.is_set():
                await self._say_how_it_went(runner)
                return

    async def _end_as_told(self, runner: FakeRunner, reason: str) -> None:
        outcome = "Cancelled" if reason == "Cancelled" else "Failed"
        await self._finish(runner, outcome, reason, CODES.get(reason, 143))

    async def _say_how_it_went(self, runner: FakeRunner) -> None:
        if self.fails:
            self.fails -= 1
            await self._finish(runner, "Failed", "FlowFailed", 1)
        else:
            await self._finish(runner, "Succeeded", "", 0)

    async def _finish(self, runner: FakeRunner, outcome: str, reason: str, code: int) -> None:
        told = {"outcome": outcome, "reason": reason, "exit_code": code}
        if self.lingers:
            record = runner.record(**told).to_dict()
            await runner.call(self.stage.channel, "finish", **record)
        else:
            await runner.finish(self.stage.channel, **told)


def _alive(stage: Stage, pod: str) -> bool:
    there = pod in stage.api.names(PODS)
    return there and stage.api.read(PODS, pod)["status"]["phase"] == "Running"


# What is said, with the time until it has been heard or has passed


async def cancel(stage: Stage) -> None:
    """Set spec.cancel."""
    stage.edit(cancel=True)
    await asyncio.sleep(1)


async def suspend(stage: Stage) -> None:
    """Set spec.suspend."""
    stage.edit(suspend=True)
    await asyncio.sleep(1)


async def deadline(stage: Stage) -> None:
    """Let the run's deadline pass; that of a run which nobody has claimed does not."""
    claimed = stage.status().get("startTime")
    spent = stage.clock.now() - parse_timestamp(claimed) if claimed else None
    stage.edit(deadlineSeconds=5 + (int(spent.total_seconds()) if spent else 0))
    await asyncio.sleep(6)


async def start_deadline(stage: Stage) -> None:
    """Let START_DEADLINE pass, which spec has, and the time that a started runner has beyond it."""
    await asyncio.sleep(START_DEADLINE + 33)
    # Whatever its phase, the agent looks at it once more.
    stage.api.change(
        FLOWRUNS, "diamond", {"metadata": {"annotations": {"example.org/note": "late"}}}
    )
    await asyncio.sleep(1)


# How a run comes to each phase


async def unclaimed(play: Play, **spec: Any) -> None:
    """Nobody has seen it yet."""
    await play.stage.kill_agent()
    play.stage.submit(**spec)


async def queued(play: Play, **spec: Any) -> None:
    """Another run has the only place."""
    play.stage.submit("other", startDeadlineSeconds=5000)
    await play.stage.until(lambda: play.stage.phase("other") == "Starting")
    play.stage.submit(**spec)
    await play.stage.until(lambda: play.stage.phase() == "Pending/Queued")


async def unscheduled(play: Play, **spec: Any) -> None:
    """All its objects are there, and no node takes its pods."""
    play.stage.nodes.start_after = 10_000
    play.stage.submit(**spec)
    await play.stage.until(lambda: any("diamond" in n for n in play.stage.api.names(PODS)))


async def begun(play: Play, **spec: Any) -> None:
    """Its runner's process is there and has not asked for leave."""
    play.stage.submit(**spec)
    await play.stage.runner()


async def leave(play: Play, **spec: Any) -> None:
    """Its runner has leave and waits for workers."""
    play.start.set()
    await begun(play, **spec)
    await play.stage.until(lambda: play.stage.status().get("startedBy"))


async def running(play: Play, **spec: Any) -> None:
    """The flow runs."""
    play.run.set()
    await leave(play, **spec)
    await play.stage.until(lambda: play.stage.phase() == "Running")


async def cancelling(play: Play, **spec: Any) -> None:
    """It is being cancelled."""
    await _stopping(play, cancel, spec)


async def suspending(play: Play, **spec: Any) -> None:
    """It is being suspended."""
    await _stopping(play, suspend, spec)


async def overdue(play: Play, **spec: Any) -> None:
    """Its deadline has passed."""
    await _stopping(play, deadline, spec)


async def losing(play: Play, **spec: Any) -> None:
    """Its scheduler has died."""
    await _stopping(play, _kill_scheduler, spec)


async def _kill_scheduler(stage: Stage) -> None:
    stage.nodes.end(f"{stage.jobs()[0]}-scheduler", 137)


async def _stopping(play: Play, verb: Verb, spec: Any) -> None:
    await running(play, **spec)
    play.ears.clear()
    await asyncio.sleep(BEAT)
    await verb(play.stage)
    await play.stage.until(lambda: play.stage.condition("Stopping"))


async def dying(play: Play, **spec: Any) -> None:
    """Its first attempt has failed, and the process of that one is still there."""
    play.fails, play.lingers = 1, True
    play.open()
    play.stage.submit(**spec)
    await play.stage.until(lambda: play.stage.phase() == "Pending/FlowFailed")


async def waiting(play: Play, **spec: Any) -> None:
    """Its first attempt has failed and is gone; the next one has its time."""
    play.fails = 1
    play.open()
    play.stage.submit(**spec)
    await play.stage.until(lambda: play.stage.phase() == "Pending/FlowFailed")
    await play.stage.cleaned()


async def requeued(play: Play, **spec: Any) -> None:
    """The time of its next attempt has come, and another run has the only place."""
    await waiting(play, **spec)
    play.stage.submit("other", startDeadlineSeconds=5000)
    await play.stage.until(lambda: play.stage.phase() == "Pending/Queued", 120)


async def paused(play: Play, **spec: Any) -> None:
    """It has been suspended while it ran, and all is gone."""
    await running(play, **spec)
    play.stage.edit(suspend=True)
    await play.stage.until(lambda: play.stage.phase() == "Suspended")
    await play.stage.cleaned()


async def held(play: Play, **spec: Any) -> None:
    """It was made suspended."""
    play.stage.submit(suspend=True, **spec)
    await play.stage.until(lambda: play.stage.phase() == "Suspended")


PHASES = {
    phase.__name__: phase
    for phase in (
        unclaimed, queued, unscheduled, begun, leave, running, cancelling, suspending, overdue,
        losing, dying, waiting, requeued, paused, held,
    )
}  # fmt: skip


@asynccontextmanager
async def play_to(phase: str, mode: str, **spec: Any) -> AsyncIterator[Play]:
    """Yield a play whose run is at a phase; there is one place for runs."""
    async with playing(mode, limits={"maxConcurrentRuns": 1}) as stage:
        play = Play(stage)
        acting = asyncio.create_task(play.act())
        try:
            await PHASES[phase](play, **spec)
            yield play
        finally:
            acting.cancel()
            with suppress(asyncio.CancelledError):
                await acting

"""Plays the runners of a namespace on fake nodes: real calls to the agent, made-up flows.

For every runner pod that runs, the driver reads the attempt's Secret as soon as it is there, asks the agent for leave to
start, beats, reports the outcome and ends the pod, as the real runner does. What a program does is a
:class:`Play`, chosen per runner; without leave to start it ends with 96 and nothing is counted.
"""

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress

import aiohttp

from dask_flows import names
from dask_flows.channel import CONFLICT, OK
from dask_flows.config import ATTEMPT_FILE, PARAMETERS_FILE
from dask_flows.errors import DuplicateStart
from dask_flows.kube.api import DELETED, Api, Object
from dask_flows.kube.errors import KubeError, NotFound
from dask_flows.kube.resources import PODS, SECRETS
from dask_flows.manifests import TOKEN_FILE
from dask_flows.outcome import CANCELLED
from kwok.calls import Calls
from kwok.follow import follow
from kwok.runner import Play, Runner, copy_of, ended
from kwok.session import in_thread

RUNNERS = f"{names.LABEL_COMPONENT}=runner,{names.LABEL_MANAGED_BY}={names.MANAGER}"
__all__ = ["Behave", "Driver", "Play", "Runner", "copy_of", "insist", "playing"]

OVER = ("Succeeded", "Failed")
STOPPED = 143
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 3.0


Behave = Callable[[Runner], Play]


class Driver:
    """Plays all runners of a namespace; ``starts`` is the flows' own count of their beginnings."""

    def __init__(self, api: Api, namespace: str, behave: Behave | None = None) -> None:
        self.behave: Behave = behave or (lambda _: Play())
        self.namespace = namespace
        self.starts: Counter[tuple[str, int]] = Counter()
        self.runners: dict[str, Runner] = {}  # by the pod's UID
        self._api = api
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def active(self) -> int:
        """How many runners live."""
        return len(self._tasks)

    @property
    def codes(self) -> Counter[int]:
        """How often runners ended with each exit code."""
        return Counter(r.exit_code for r in list(self.runners.values()) if r.exit_code is not None)

    def of(self, run: str) -> list[Runner]:
        """Return the runners of a run, in the order of their start."""
        return [runner for runner in list(self.runners.values()) if runner.run == run]

    def end(self, runner: Runner) -> None:
        """Let a runner's flow end now, as its play says; callable from any thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(runner.ending.set)

    async def work(self) -> None:
        """Play for ever."""
        self._loop = asyncio.get_running_loop()
        # A connection per call, as the real runners have.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        try:
            runners = follow(self._api, PODS, self.namespace, labels=RUNNERS)
            session = aiohttp.ClientSession(connector=connector)
            async with session as self._session, aclosing(runners) as events:
                async for event in events:
                    self._see(event.type, event.object)
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _see(self, kind: str, pod: Object) -> None:
        uid = str(pod["metadata"]["uid"])
        task = self._tasks.get(uid)
        phase = (pod.get("status") or {}).get("phase")
        gone = kind == DELETED or "deletionTimestamp" in pod["metadata"] or phase in OVER
        if gone and task is not None:
            if self.runners[uid].exit_code is None:
                self.runners[uid].killed = True
                task.cancel()
        elif phase == "Running" and not gone and uid not in self.runners:
            runner = self.runners[uid] = Runner.of(pod)
            task = asyncio.create_task(self._play(runner))
            self._tasks[uid] = task
            task.add_done_callback(lambda _: self._tasks.pop(uid, None))

    async def _play(self, runner: Runner) -> None:
        with suppress(NotFound):  # the attempt was taken away meanwhile: so will be the pod
            attempt, token = await self._read(runner)
            play = self.behave(runner)
            if not play.starts:
                await self._end(runner, play, play.exit_code or STOPPED, "")
                return
            assert self._session is not None
            calls = Calls(self._session, attempt, token, runner.pod_uid)
            try:
                await self._run(runner, play, calls, attempt)
            finally:
                runner.calls = calls.count

    async def _run(self, runner: Runner, play: Play, calls: Calls, attempt: Object) -> None:
        if not await calls.start(float(attempt["startDeadlineSeconds"])):
            await self._end(runner, play, DuplicateStart.exit_code, "")
            return
        runner.started = True
        self.starts[runner.uid, runner.attempt] += 1
        stopped = await self._flow(runner, play, calls)
        code = STOPPED if stopped else play.exit_code
        outcome = (
            runner.outcome(play, CANCELLED, exit_code=code, **stopped)
            if stopped
            else runner.outcome(play)
        )
        if play.finishes:
            runner.finish_told = time.monotonic()
            if await calls.finish(outcome.to_dict()):
                runner.finish_heard = time.monotonic()
        await self._end(runner, play, code, outcome.to_json() if play.records else "")

    async def _flow(self, runner: Runner, play: Play, calls: Calls) -> dict[str, str]:
        """Run the flow; returns reason and message if the agent told it to stop."""
        heart = asyncio.create_task(_beat(calls, play))
        # The runner tells its new phase at once, beside the beat that the agent holds.
        tell = asyncio.create_task(calls.beat("running", play.workers, 0.0))
        runner.running_told = time.monotonic()
        end = asyncio.create_task(runner.ending.wait())
        try:
            waited = play.seconds if play.ends else None
            done, _ = await asyncio.wait(
                {end} if play.deaf else {heart, end},
                timeout=waited,
                return_when=asyncio.FIRST_COMPLETED,
            )
            return heart.result() if heart in done else {}
        finally:
            for task in (heart, tell, end):
                task.cancel()

    async def _read(self, runner: Runner) -> tuple[Object, str]:
        """Read what a kubelet mounts into the pod before it starts; a fake node does not wait for it."""
        while True:
            with suppress(NotFound):
                found = await insist(
                    lambda: self._api.get(SECRETS, runner.namespace, runner.secret)
                )
                break
            await asyncio.sleep(FIRST_PAUSE)  # ends with the pod, which cancels this
        data = {key: base64.b64decode(text).decode() for key, text in found["data"].items()}
        runner.parameters = json.loads(data[PARAMETERS_FILE])
        return json.loads(data[ATTEMPT_FILE]), data[TOKEN_FILE]

    async def _end(self, runner: Runner, play: Play, code: int, message: str) -> None:
        """End the pod as its kubelet would."""
        runner.exit_code = code
        body = ended(runner, code, message, play.container_reason)
        with suppress(NotFound):
            await insist(
                lambda: self._api.patch(
                    PODS, runner.namespace, runner.pod, body, subresource="status"
                )
            )


async def insist(call: Callable[[], Awaitable[Object]]) -> Object:
    """Make a call until the API server takes it; raises NotFound."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await call()
        except NotFound:
            raise
        except KubeError:
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)


async def _beat(calls: Calls, play: Play) -> dict[str, str]:
    """Beat until the agent wants a stop; returns its reason and message."""
    phase, pause = "cluster", FIRST_PAUSE
    while True:
        answer = await calls.beat(phase, play.workers)
        phase = "running"
        if stop := answer.body.get("stop"):
            return {"reason": str(stop["reason"]), "message": str(stop["message"])}
        if answer.status == CONFLICT:
            return {"reason": "DuplicateStart", "message": answer.text}
        if answer.status != OK:
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)
        else:
            pause = FIRST_PAUSE


@contextmanager
def playing(namespace: str, behave: Behave | None = None) -> Iterator[Driver]:
    """Play in a thread of its own, with the rights that KUBECONFIG gives."""
    with in_thread(namespace, lambda api: Driver(api, namespace, behave), Driver.work) as driver:
        yield driver

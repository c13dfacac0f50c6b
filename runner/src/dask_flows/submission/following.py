"""Wait for a run, and show its log as it grows; watches, never polls."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any

from dask_flows.deadline import Deadline
from dask_flows.errors import DeadlineExceeded, UsageError
from dask_flows.flowrun import RUNNING, STARTING, TERMINAL
from dask_flows.kube.api import DELETED, Api, list_all
from dask_flows.kube.errors import Gone, NotFound, Unreachable
from dask_flows.kube.resources import FLOWRUNS, PODS, Resource
from dask_flows.names import LABEL_ATTEMPT, LABEL_COMPONENT, LABEL_RUN

Say = Callable[[str], None]
WATCH_SECONDS = 240
RECONNECT_SECONDS = 2.0
LOG_GRACE_SECONDS = 10.0
STARTED = ("Running", "Succeeded", "Failed")


async def wait(
    api: Api, namespace: str, name: str, deadline: Deadline, *, log: Say, say: Say
) -> dict[str, Any]:
    """Say each new phase; returns the status at the end.

    Raises DeadlineExceeded when the waiting, not the run, takes too long.
    """
    del log
    return await _within(deadline, name, _until_over(api, namespace, name, say))


async def follow(
    api: Api, namespace: str, name: str, deadline: Deadline, *, log: Say, say: Say
) -> dict[str, Any]:
    """Do the same, and show the runner's log meanwhile, of one attempt after the other."""

    async def both() -> dict[str, Any]:
        shown = _Shown()
        logs = asyncio.create_task(_stream_attempts(api, namespace, name, log, shown))
        try:
            status = await _until_over(api, namespace, name, say)
            # The last lines may still be on their way; a pod that never started has none.
            grace = LOG_GRACE_SECONDS if status.get("runningTime") else 1
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await shown.until(int(status.get("attempt") or 0))
            return status
        finally:
            logs.cancel()
            await asyncio.gather(logs, return_exceptions=True)

    return await _within(deadline, name, both())


class _Shown:
    """The last attempt whose log has been shown to its end."""

    def __init__(self) -> None:
        self.attempt = 0
        self._changed = asyncio.Event()

    def end(self, attempt: int) -> None:
        """Note the end of an attempt's log."""
        self.attempt = attempt
        self._changed.set()

    async def until(self, attempt: int) -> None:
        """Wait for the end of this attempt's log."""
        while self.attempt < attempt:
            self._changed.clear()
            await self._changed.wait()


async def _stream_attempts(api: Api, namespace: str, name: str, log: Say, shown: _Shown) -> None:
    while True:
        pod, attempt = await _next_pod(api, namespace, name, shown.attempt)
        async with aclosing(_lines(api, namespace, pod, live=True)) as lines:
            async for line in lines:
                log(line)
        shown.end(attempt)


async def stream_logs(api: Api, namespace: str, name: str, log: Say, *, live: bool = True) -> bool:
    """Show the log of the run's newest runner pod; waits for it if ``live``; False if there is none."""
    pod = await _runner_pod(api, namespace, name, live=live)
    if pod is None:
        return False
    async with aclosing(_lines(api, namespace, pod, live=live)) as lines:
        async for line in lines:
            log(line)
    return True


def _lines(api: Api, namespace: str, pod: str, *, live: bool) -> Any:
    return api.logs(namespace, pod, container="runner", follow=live)


async def _until_over(api: Api, namespace: str, name: str, say: Say) -> dict[str, Any]:
    last = ""
    async with aclosing(
        _versions(api, FLOWRUNS, namespace, fields=f"metadata.name={name}")
    ) as runs:
        async for run in runs:
            if run is None:
                raise UsageError(f"FlowRun {name} is not there", where=f"namespace {namespace}")
            status: dict[str, Any] = run.get("status") or {}
            line = describe(status)
            if line != last:
                say(f"{name}: {line}")
                last = line
            if status.get("phase") in TERMINAL:
                return status
    raise AssertionError("a watch never ends by itself")


def describe(status: dict[str, Any]) -> str:
    """Say in one line where a run stands and why."""
    phase = status.get("phase") or "Pending"
    reason, message = status.get("reason") or "", status.get("message") or ""
    active = phase in (STARTING, RUNNING)
    detail = ": ".join(part for part in (reason, message if reason or not active else "") if part)
    return f"{phase} ({detail})" if detail else phase


async def _runner_pod(api: Api, namespace: str, name: str, *, live: bool) -> str | None:
    labels = f"{LABEL_RUN}={name},{LABEL_COMPONENT}=runner"
    if not live:
        pods = (await list_all(api, PODS, namespace, labels=labels)).items
        pods.sort(key=lambda pod: pod["metadata"].get("creationTimestamp") or "")
        return pods[-1]["metadata"]["name"] if pods else None
    return (await _next_pod(api, namespace, name, 0))[0]


async def _next_pod(api: Api, namespace: str, name: str, after: int) -> tuple[str, int]:
    """Wait for the runner pod of a later attempt; returns its name and its attempt."""
    labels = f"{LABEL_RUN}={name},{LABEL_COMPONENT}=runner"
    async with aclosing(_versions(api, PODS, namespace, labels=labels)) as versions:
        async for pod in versions:
            if pod is None or (pod.get("status") or {}).get("phase") not in STARTED:
                continue
            text = str(pod["metadata"]["labels"].get(LABEL_ATTEMPT) or "")
            attempt = int(text) if text.isdecimal() else 1
            if attempt > after:
                return str(pod["metadata"]["name"]), attempt
    raise AssertionError("a watch never ends by itself")


async def _versions(
    api: Api, resource: Resource, namespace: str, *, labels: str = "", fields: str = ""
) -> AsyncGenerator[dict[str, Any] | None]:
    """Yield each state of the objects, None when one is gone; comes back after every broken watch."""
    while True:
        try:
            page = await list_all(api, resource, namespace, labels=labels, fields=fields)
            if fields and not page.items:
                yield None
            for item in page.items:
                yield item
            version = page.resource_version
            async for event in api.watch(
                resource, namespace, resource_version=version, seconds=WATCH_SECONDS,
                labels=labels, fields=fields,
            ):  # fmt: skip
                if event.type == DELETED:
                    yield None
                elif event.type != "BOOKMARK":
                    yield event.object
        except (Gone, Unreachable):
            await asyncio.sleep(RECONNECT_SECONDS)
        except NotFound as error:
            raise UsageError(
                error.found, do="install the chart, or check --context and -n"
            ) from None


async def _within(deadline: Deadline, name: str, work: Any) -> dict[str, Any]:
    limit = None if deadline.seconds is None else deadline.remaining()
    try:
        status: dict[str, Any] = await asyncio.wait_for(work, limit)
    except TimeoutError:
        raise DeadlineExceeded(
            f"FlowRun {name} is not over after {deadline.seconds:g} s",
            do=f"it goes on; see kubectl describe flowrun {name}",
        ) from None
    return status


__all__ = ["describe", "follow", "stream_logs", "wait"]

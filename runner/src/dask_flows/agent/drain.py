"""``dask-flows drain``: wait for the runs of the shared cluster before an upgrade changes it.

The chart's hook calls it before ``helm upgrade`` and ``helm rollback``. It takes the pause Lease, so that
the agent claims nothing more for the shared cluster, and waits. What is running is read from FlowRuns and
Jobs, so it is right even when there is no agent. If time runs out, the Lease goes, claims resume, and the
upgrade fails with nothing changed. If this process is killed, the Lease runs out by itself.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from dask_flows.deadline import Clock, Deadline, SystemClock
from dask_flows.flowrun import CLAIMED
from dask_flows.kube.api import Api, Object, list_all, remove
from dask_flows.kube.connect import connect
from dask_flows.kube.errors import AlreadyExists, KubeError, NotFound
from dask_flows.kube.resources import DEPLOYMENTS, FLOWRUNS, JOBS, LEASES
from dask_flows.names import (
    ANNOTATION_POD_HASH,
    ANNOTATION_TARGET,
    LABEL_MANAGED_BY,
    LABEL_RUN,
    MANAGER,
)

LEASE_SECONDS, RENEW_SECONDS = 15, 5.0
HANDOVER_SECONDS = 60  # the upgraded agent removes the Lease; if it never comes, claims resume
SETTLE_SECONDS = 2.0  # whoever looked for the Lease just before it was there has claimed by then
RELIST_SECONDS = 1.0
TERMINATED = 143
SERVER_ERROR = 500
Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """What the upgrade leads to, and where."""

    fullname: str
    namespace: str
    mode: str
    pod_hash: str
    config: str
    lease: str


@dataclass(frozen=True, order=True)
class Busy:
    """A run that uses the shared cluster."""

    name: str
    phase: str
    since: str


def main(
    *,
    release_fullname: str,
    namespace: str,
    target_mode: str,
    target_pod_hash: str,
    target_config: str,
    lease: str,
    drain_seconds: float,
) -> int:
    """Drain with the service account of the hook's pod; returns the exit code: 0, 1 or 143."""
    target = Target(release_fullname, namespace, target_mode, target_pod_hash, target_config, lease)
    return asyncio.run(_in_cluster(target, drain_seconds))


async def _in_cluster(target: Target, seconds: float) -> int:
    api = await connect(namespace=target.namespace)
    clock = SystemClock()
    work = asyncio.create_task(drain(api, target, Deadline(seconds, clock), clock, _say))
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, work.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        return TERMINATED
    finally:
        await api.close()


async def drain(api: Api, target: Target, deadline: Deadline, clock: Clock, say: Say) -> int:
    """Wait until nothing uses the shared cluster; returns 0, or 1 when time ran out.

    When cancelled it removes the Lease before it ends.
    """
    if not await _patiently(lambda: _changes(api, target), deadline):
        say("the shared cluster stays as it is: nothing to wait for")
        return 0
    pause = PauseLease(api, target, clock)
    await _patiently(pause.take, deadline)
    renewing = asyncio.create_task(pause.renew_for_ever())
    try:
        await asyncio.sleep(min(SETTLE_SECONDS, deadline.remaining()))
        left = await _wait(api, target, deadline, say)
        if not left:
            await _stop(renewing)
            await pause.hand_over()
            say("no run uses the shared cluster any more: the upgrade goes on")
            return 0
    except BaseException:
        await _stop(renewing)
        await asyncio.shield(pause.release())
        raise
    await _stop(renewing)
    await pause.release()
    _complain(target, left, deadline, say)
    return 1


async def _patiently(ask: Callable[[], Awaitable[T]], deadline: Deadline) -> T:
    """Ask until there is an answer: an API server that restarts is no reason to fail an upgrade."""
    while True:
        try:
            return await ask()
        except KubeError as error:
            if not _passes(error) or deadline.expired:
                raise
        await asyncio.sleep(min(RELIST_SECONDS, deadline.remaining()))


def _passes(error: KubeError) -> bool:
    """Whether another try may bring an answer: there was none, or the server has no time or no health."""
    return error.code in (0, 429) or error.code >= SERVER_ERROR


class PauseLease:
    """The Lease that pauses claims for the shared cluster."""

    def __init__(self, api: Api, target: Target, clock: Clock) -> None:
        self._api = api
        self._target = target
        self._clock = clock

    async def take(self) -> None:
        """Create the Lease, or take over one that an earlier upgrade has left."""
        body: Object = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {
                "name": self._target.lease,
                "annotations": {ANNOTATION_TARGET: self._target.config},
            },
            "spec": self._spec(LEASE_SECONDS),
        }
        try:
            await self._api.create(LEASES, self._target.namespace, body)
        except AlreadyExists:
            await self._patch(body)

    async def renew_for_ever(self) -> None:
        """Keep the Lease; a failed renewal is tried again with the next one."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            with suppress(KubeError):
                await self._renew(LEASE_SECONDS)

    async def hand_over(self) -> None:
        """Leave the Lease to the upgraded agent."""
        await self._renew(HANDOVER_SECONDS)

    async def release(self) -> None:
        """Remove the Lease: claims resume at once."""
        with suppress(KubeError):
            await remove(self._api, LEASES, self._target.namespace, self._target.lease)

    async def _renew(self, seconds: int) -> None:
        try:
            await self._patch({"spec": self._spec(seconds)})
        except NotFound:
            await self.take()

    async def _patch(self, body: Object) -> None:
        patch = {"metadata": {"annotations": {ANNOTATION_TARGET: self._target.config}}}
        patch["spec"] = body["spec"]
        await self._api.patch(LEASES, self._target.namespace, self._target.lease, patch)

    def _spec(self, seconds: int) -> Object:
        moment = self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        holder = f"{self._target.fullname}-drain"
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": seconds,
            "acquireTime": moment,
            "renewTime": moment,
        }


async def busy_runs(api: Api, namespace: str) -> list[Busy]:
    """Return the runs that use the shared cluster, from FlowRuns and from Jobs that still run."""
    found: dict[str, Busy] = {}
    for job in (await list_all(api, JOBS, namespace, labels=f"{LABEL_MANAGED_BY}={MANAGER}")).items:
        if _is_static(job) and not _is_over(job):
            meta = job["metadata"]
            name = (meta.get("labels") or {}).get(LABEL_RUN) or meta["name"]
            found[name] = Busy(name, "its Job runs", meta.get("creationTimestamp", ""))
    for run in await _flow_runs(api, namespace):
        status = run.get("status") or {}
        if status.get("mode") == "static" and status.get("phase") in CLAIMED:
            name = run["metadata"]["name"]
            found[name] = Busy(name, status["phase"], status.get("startTime", ""))
    return sorted(found.values())


async def _flow_runs(api: Api, namespace: str) -> list[Object]:
    try:
        return (await list_all(api, FLOWRUNS, namespace)).items
    except NotFound:  # the CRD is not there, so nothing can run
        return []


async def _changes(api: Api, target: Target) -> bool:
    for role in ("scheduler", "worker"):
        try:
            live = await api.get(DEPLOYMENTS, target.namespace, f"{target.fullname}-{role}")
        except NotFound:
            continue
        annotations = live["metadata"].get("annotations") or {}
        if target.mode != "static" or annotations.get(ANNOTATION_POD_HASH) != target.pod_hash:
            return True
    return False


async def _wait(api: Api, target: Target, deadline: Deadline, say: Say) -> list[Busy]:
    told: list[str] = []
    left: list[Busy] = []
    while True:
        with suppress(KubeError):  # an API server that restarts is no reason to fail an upgrade
            left = await busy_runs(api, target.namespace)
            if not left:
                return []
        names = [run.name for run in left]
        if names != told:
            say(f"waiting for {len(names)} runs of the shared cluster: {', '.join(names[:20])}")
            told = names
        if deadline.expired:
            return left or [Busy("?", "the Kubernetes API did not answer", "")]
        await asyncio.sleep(min(RELIST_SECONDS, deadline.remaining()))


def _complain(target: Target, left: list[Busy], deadline: Deadline, say: Say) -> None:
    say(f"after {deadline.seconds:.0f} s {len(left)} runs still use the shared cluster:")
    for run in left:
        say(f"  {run.name}: {run.phase} since {run.since or '?'}")
    say("nothing was changed, and runs are claimed again. What to do, one of:")
    say("  wait for them, and upgrade again (upgrade.drainSeconds sets how long an upgrade waits)")
    say(f"  cancel them: dask-flows cancel -n {target.namespace} NAME")
    say("  let them fail: helm upgrade … --set upgrade.force=true")


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _is_static(job: Object) -> bool:
    containers = job["spec"]["template"]["spec"].get("containers") or []
    args: list[Any] = next((c.get("args") or [] for c in containers if c["name"] == "runner"), [])
    return "static" in args[args.index("--mode") :][:2] if "--mode" in args else False


def _is_over(job: Object) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

"""``dask-flows retire``: what runs after ``helm uninstall``, so that no pod of a run is left.

FlowRuns are data and stay, and what a run made is owned by its FlowRun: without this nobody would end the
pods of a release that is gone. The agent is gone too by then, so nothing can be claimed meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence

from dask_flows.agent.state import refusal
from dask_flows.agent.status import Patch, cleaned_up, finished
from dask_flows.agent.verdict import intended
from dask_flows.agent.views import RunView
from dask_flows.deadline import Clock, Deadline, SystemClock
from dask_flows.errors import DeadlineExceeded
from dask_flows.flowrun import CLAIMED, FlowRun
from dask_flows.kube.api import Api, list_all
from dask_flows.kube.connect import connect
from dask_flows.kube.errors import Conflict, NotFound
from dask_flows.kube.resources import (
    CONFIG_MAPS,
    FLOWRUNS,
    JOBS,
    LEASES,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
    Resource,
)
from dask_flows.names import LABEL_INSTANCE, LABEL_MANAGED_BY, LABEL_RUN_UID, MANAGER

RELIST_SECONDS = 1.0
RETRIES = 8  # of a write that races with other writers of the same run
Say = Callable[[str], None]


def main(*, namespace: str, instance: str, lease: str, seconds: float, say: Say) -> int:
    """Run it against the cluster we are in; returns the exit code."""

    async def session() -> None:
        api = await connect(namespace=namespace)
        try:
            deadline, clock = Deadline(seconds, SystemClock()), SystemClock()
            await retire(api, namespace, instance, deadline=deadline, clock=clock, say=say)
            await _delete(api, LEASES, namespace, lease)
        finally:
            await api.close()

    asyncio.run(session())
    return 0


async def retire(
    api: Api, namespace: str, instance: str, *, deadline: Deadline, clock: Clock, say: Say
) -> None:
    """End the release's runs and remove what they made.

    Raises DeadlineExceeded, naming the pods, if some are still there when time is up.
    """
    labels = f"{LABEL_MANAGED_BY}={MANAGER},{LABEL_INSTANCE}={instance}"
    cancelled = await _end_runs(api, namespace, labels, clock, say)
    for resource in (JOBS, PODS, SERVICES, CONFIG_MAPS, NETWORK_POLICIES):
        for obj in (await list_all(api, resource, namespace, labels=labels)).items:
            await _delete(api, resource, namespace, obj["metadata"]["name"])
    while left := (await list_all(api, PODS, namespace, labels=labels)).items:
        if deadline.expired:
            found = ", ".join(pod["metadata"]["name"] for pod in left)
            raise DeadlineExceeded(
                f"pods are still there: {found}", do=f"kubectl delete pod -n {namespace} …"
            )
        await asyncio.sleep(min(RELIST_SECONDS, deadline.remaining()))
    for run in cancelled:
        await _write(api, run, lambda current: cleaned_up(current, clock.now()))


async def _end_runs(
    api: Api, namespace: str, labels: str, clock: Clock, say: Say
) -> Sequence[FlowRun]:
    """Record the end of each run of the release; returns those that are Cancelled by this."""
    cancelled = []
    ending = intended("Cancelled", "the release was uninstalled during the run")

    def cancel(run: FlowRun) -> Patch | None:
        return finished(run, ending, clock.now()) if run.phase in CLAIMED else None

    jobs = (await list_all(api, JOBS, namespace, labels=labels)).items
    owners = {job["metadata"]["labels"].get(LABEL_RUN_UID) for job in jobs}
    for obj in (await list_all(api, FLOWRUNS, namespace)).items:
        run = RunView.of(obj).run
        if run.uid in owners and (written := await _write(api, run, cancel)) is not None:
            cancelled.append(written)
            say(f"{run.name}: Cancelled, its release is uninstalled")
    return cancelled


async def _write(
    api: Api, run: FlowRun, change: Callable[[FlowRun], Patch | None]
) -> FlowRun | None:
    """Write what ``change`` makes of the newest copy, like the agent does; returns what was written."""
    for _ in range(RETRIES):
        patch = change(run)
        if patch is None or refusal(run, patch):
            return None
        body = {"metadata": {"resourceVersion": run.resource_version}, "status": patch}
        try:
            obj = await api.patch(FLOWRUNS, run.namespace, run.name, body, subresource="status")
            return RunView.of(obj).run
        except Conflict:
            found = (await list_all(api, FLOWRUNS, run.namespace)).items
            same = [obj for obj in found if obj["metadata"]["uid"] == run.uid]
            if not same:
                return None
            run = RunView.of(same[0]).run
        except NotFound:
            return None
    return None


async def _delete(api: Api, resource: Resource, namespace: str, name: str) -> None:
    try:
        await api.delete(resource, namespace, name)
    except NotFound:
        return

"""``dask-flows retire``: what runs after ``helm uninstall``, so that no pod of a run is left.

FlowRuns are data and stay, and what a run made is owned by its FlowRun: without this nobody would end the
pods of a release that is gone. The agent is gone too by then, so nothing can be claimed meanwhile.
"""

import asyncio
from collections.abc import Callable

from dask_flows.agent.status import finished
from dask_flows.agent.verdict import intended
from dask_flows.agent.views import RunView
from dask_flows.deadline import Clock, Deadline, SystemClock
from dask_flows.errors import DeadlineExceeded
from dask_flows.flowrun import CLAIMED
from dask_flows.kube.api import Api, Object, list_all
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
    await _end_runs(api, namespace, labels, clock, say)
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


async def _end_runs(api: Api, namespace: str, labels: str, clock: Clock, say: Say) -> None:
    """Record the end of each run of the release."""
    jobs = (await list_all(api, JOBS, namespace, labels=labels)).items
    owners = {job["metadata"]["labels"].get(LABEL_RUN_UID) for job in jobs}
    for run in (await list_all(api, FLOWRUNS, namespace)).items:
        status = run.get("status") or {}
        if status.get("phase") in CLAIMED and run["metadata"]["uid"] in owners:
            await _cancelled(api, namespace, run, clock)
            say(f"{run['metadata']['name']}: Cancelled, its release is uninstalled")


async def _cancelled(api: Api, namespace: str, run: Object, clock: Clock) -> None:
    ending = intended("Cancelled", "the release was uninstalled during the run")
    patch = finished(RunView.of(run).run, ending, clock.now())
    name = run["metadata"]["name"]
    try:
        await api.patch(FLOWRUNS, namespace, name, {"status": patch}, subresource="status")
    except (NotFound, Conflict):  # deleted meanwhile: its objects go with it
        return


async def _delete(api: Api, resource: Resource, namespace: str, name: str) -> None:
    try:
        await api.delete(resource, namespace, name)
    except NotFound:
        return

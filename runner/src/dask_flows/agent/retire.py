"""``dask-flows retire``: what runs after ``helm uninstall``, so that no pod of a run is left.

FlowRuns are data and stay, and what a run made is owned by its FlowRun: without this nobody would end the
pods of a release that is gone. The agent is gone too by then, so nothing can be claimed meanwhile.
"""

import asyncio
from collections.abc import Callable

from dask_flows.agent.conditions import CLEANED_UP, condition
from dask_flows.agent.recorder import RETRIES
from dask_flows.agent.state import refusal
from dask_flows.agent.status import Patch, cleaned_up, finished
from dask_flows.agent.sweep import SWEPT
from dask_flows.agent.verdict import intended
from dask_flows.agent.views import RunView
from dask_flows.deadline import Clock, Deadline, SystemClock
from dask_flows.errors import DeadlineExceeded
from dask_flows.flowrun import CLAIMED, FlowRun
from dask_flows.kube.api import Api, list_all
from dask_flows.kube.connect import connect
from dask_flows.kube.errors import Conflict, NotFound
from dask_flows.kube.resources import FLOWRUNS, LEASES, PODS, Resource
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
    for resource in SWEPT:
        for obj in (await list_all(api, resource, namespace, labels=labels)).items:
            await _delete(api, resource, namespace, obj["metadata"]["name"])
    while left := (await list_all(api, PODS, namespace, labels=labels)).items:
        if deadline.expired:
            found = ", ".join(pod["metadata"]["name"] for pod in left)
            raise DeadlineExceeded(
                f"pods are still there: {found}", do=f"kubectl delete pod -n {namespace} …"
            )
        await asyncio.sleep(min(RELIST_SECONDS, deadline.remaining()))
    await _sign_off(api, namespace, clock)


async def _end_runs(api: Api, namespace: str, labels: str, clock: Clock, say: Say) -> None:
    """Record the end of each run of the release: of which something has been made."""
    owners = await _owners(api, namespace, labels)
    ending = intended("Cancelled", "the release was uninstalled during the run")

    def cancel(run: FlowRun) -> Patch | None:
        return finished(run, ending, clock.now()) if run.phase in CLAIMED else None

    for obj in (await list_all(api, FLOWRUNS, namespace)).items:
        run = RunView.of(obj).run
        if run.uid in owners and await _write(api, run, cancel):
            say(f"{run.name}: Cancelled, its release is uninstalled")


async def _sign_off(api: Api, namespace: str, clock: Clock) -> None:
    """Record of each run that is over, also by itself meanwhile, that nothing is left of it."""

    def sign(run: FlowRun) -> Patch | None:
        return None if condition(run, CLEANED_UP) else cleaned_up(run, clock.now(), job=False)

    left = await _owners(api, namespace, f"{LABEL_MANAGED_BY}={MANAGER}")
    for obj in (await list_all(api, FLOWRUNS, namespace)).items:
        run = RunView.of(obj).run
        if run.terminal and run.uid not in left:
            await _write(api, run, sign)


async def _owners(api: Api, namespace: str, labels: str) -> set[str]:
    """Return the UIDs of the runs of which something is there."""
    lists = [(await list_all(api, resource, namespace, labels=labels)).items for resource in SWEPT]
    return {obj["metadata"]["labels"].get(LABEL_RUN_UID, "") for found in lists for obj in found}


async def _write(api: Api, run: FlowRun, change: Callable[[FlowRun], Patch | None]) -> bool:
    """Write what ``change`` makes of the newest copy, like the agent does; returns whether it was written."""
    for _ in range(RETRIES):
        patch = change(run)
        if patch is None or refusal(run, patch):
            return False
        body = {"metadata": {"resourceVersion": run.resource_version}, "status": patch}
        try:
            await api.patch(FLOWRUNS, run.namespace, run.name, body, subresource="status")
        except Conflict:
            found = (await list_all(api, FLOWRUNS, run.namespace)).items
            same = [obj for obj in found if obj["metadata"]["uid"] == run.uid]
            if not same:
                return False
            run = RunView.of(same[0]).run
        except NotFound:
            return False
        else:
            return True
    return False


async def _delete(api: Api, resource: Resource, namespace: str, name: str) -> None:
    try:
        await api.delete(resource, namespace, name)
    except NotFound:
        return

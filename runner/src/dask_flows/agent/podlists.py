"""Which pods the agent reads when it lists: all but ended runners of attempts that are cleaned up.

Those stay for their logs, by the thousand, and nobody decides anything by them; to read them would double the time
that a restart takes. Which attempts those are is known from the FlowRuns, so these are listed first.

An ended runner that is missing all the same, since a FlowRun's copy was old, ends nothing: see ``witness``.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

from dask_flows.agent.conditions import CLEANED_UP, condition
from dask_flows.agent.views import PodView, RunView
from dask_flows.flowrun import FlowRun
from dask_flows.kube.api import Api, Page
from dask_flows.kube.informer import Informer
from dask_flows.kube.lists import Lists, Selection, read
from dask_flows.kube.resources import PODS
from dask_flows.names import LABEL_COMPONENT, LABEL_RUN_UID

SIGN_EVERY = 10.0  # seconds; the pods' informer lives while it waits for the FlowRuns
AT_ONCE = 50  # UIDs in one selector, some 2 KB of a URL
MANY = 200  # UIDs; a server before 1.34 reads all pods from etcd for each of such lists: then rather all of them
NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"

PodsOf = Callable[[str, int], Iterable[PodView]]


def pod_lists(
    api: Api, namespace: str, labels: str, runs: Informer[RunView], pods_of: PodsOf
) -> Lists[PodView]:
    """Return how to list the pods that ``labels`` select; ``pods_of`` tells those of an attempt that are held."""
    dask = Selection(f"{labels},{LABEL_COMPONENT}!=runner")
    runners = Selection(f"{labels},{LABEL_COMPONENT}=runner", NOT_ENDED)
    rest = _EndedRunners(api, namespace, labels, runs, pods_of)
    return Lists((dask, runners), lambda pod: pod.is_runner and pod.ended, rest.pages)


@dataclass(frozen=True)
class _EndedRunners:
    """Those that somebody is still judged by."""

    api: Api
    namespace: str
    labels: str
    runs: Informer[RunView]
    pods_of: PodsOf

    async def pages(self, taken: Collection[str]) -> AsyncGenerator[Page, None]:
        """Read the pods of attempts that are not cleaned up and have no living runner among those ``taken``."""
        while not self.runs.synced.is_set():
            yield Page([], "")
            with suppress(TimeoutError):
                async with asyncio.timeout(SIGN_EVERY):
                    await self.runs.synced.wait()
        uids = [view.run.uid for view in self.runs if self._lacks_runner(view.run, taken)]
        selections = _selections(self.labels, uids)
        async with aclosing(read(self.api, PODS, self.namespace, selections)) as all_pages:
            async for page in all_pages:
                yield page

    def _lacks_runner(self, run: FlowRun, taken: Collection[str]) -> bool:
        if not run.attempt or condition(run, CLEANED_UP) is not None:
            return False
        # A copy from before this list may be of a pod that has ended since.
        pods = [pod for pod in self.pods_of(run.uid, run.attempt) if pod.name in taken]
        living = [pod.uid for pod in pods if pod.is_runner and not pod.ended]
        started = run.status.get("startedBy")
        return started not in living if started else not living


def _selections(labels: str, uids: Sequence[str]) -> list[Selection]:
    if len(uids) > MANY:
        both = ("Succeeded", "Failed")
        runners = f"{labels},{LABEL_COMPONENT}=runner"
        return [Selection(runners, f"status.phase={phase}") for phase in both]
    some = (uids[begin : begin + AT_ONCE] for begin in range(0, len(uids), AT_ONCE))
    return [Selection(f"{labels},{LABEL_RUN_UID} in ({','.join(part)})") for part in some]

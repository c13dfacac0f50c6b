"""What the agent keeps of objects: enough to decide, little enough for thousands, whatever comes."""

import asyncio
import copy
import gc
import json
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_flows.agent.cache import Cache
from dask_flows.agent.unreachable import unreachable
from dask_flows.agent.views import JobView, PodView, RunView
from dask_flows.deadline import SystemClock
from dask_flows.diagnose import diagnose_end, diagnose_start
from dask_flows.kube.api import Event, Page
from dask_flows.kube.resources import FLOWRUNS, JOBS, PODS, Resource
from dask_flows.names import LABEL_COMPONENT, LABEL_RUN, LABEL_RUN_UID, attempt_name
from fakes.clock import START
from samples import flow_run_data

RECORDINGS = Path(__file__).parents[2] / "recordings"
QUICK = settings(derandomize=True, max_examples=200, deadline=None, database=None)


def finished(number: int) -> dict[str, Any]:
    """Return a large run that is over and cleaned up."""
    data = flow_run_data(f"run-{number}", uid=f"uid-{number}")
    data["spec"] = {"flow": "a.b:c", "parameters": {"text": "x" * 2000}, "env": []}
    data["status"] = {
        "phase": "Succeeded",
        "attempt": 1,
        "result": "y" * 2000,
        "message": "z" * 500,
        "attempts": [{"attempt": 1, "reason": "Succeeded"}],
        "conditions": [
            {"type": "Finished", "status": "True", "message": "m" * 300},
            {"type": "CleanedUp", "status": "True", "message": "m" * 300},
        ],
    }
    return data


def test_a_finished_run_costs_next_to_nothing() -> None:
    """Less than 1 KiB each, so that ten thousand are no problem."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    views = [RunView.of(finished(number)) for number in range(200)]
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert (after - before) / len(views) < 1024


def stored(number: int) -> dict[str, Any]:
    """Return a finished run as an API server holds it, with everything that kubectl leaves there."""
    data = json.loads(json.dumps(finished(number)))
    name = data["metadata"]["name"]
    fields = {f"f:{key}": {"f:x": {}} for key in range(20)}
    data["metadata"] |= {
        "resourceVersion": str(1000 + number),
        "generation": 1,
        "labels": {"team": f"team-{number % 7}"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x" * 900},
        "managedFields": [{"manager": f"m{n}", "fieldsV1": fields} for n in range(3)],
    }
    data["status"] |= {
        "mode": "ephemeral",
        "jobName": f"f-{name}-0a1b2c3d-1",
        "startedBy": f"00000000-0000-4000-8000-{number:012d}",
        "startTime": "2026-01-01T00:00:00Z",
        "finishTime": "2026-01-01T00:01:00Z",
        "attempts": [{"attempt": 1, "jobName": f"f-{name}-1", "reason": "Succeeded"}] * 3,
    }
    return data


def job(number: int) -> dict[str, Any]:
    """Return the Job of a finished run as an API server holds it."""
    made, uid = _of_run(number, recording("succeeds")["job"]), f"uid-{number}"
    made["metadata"]["name"] = attempt_name(f"run-{number}", uid, 1)
    made["metadata"]["ownerReferences"] = [{"kind": "FlowRun", "uid": uid, "controller": True}]
    return made


def pod(number: int) -> dict[str, Any]:
    """Return the pod of a finished run with what a kubelet says of it, the runner's record included."""
    made: dict[str, Any] = copy.deepcopy(recording("succeeds")["pods"][0])
    conditions, container = made["status"]["conditions"], made["status"]["containerStatuses"][0]
    for condition in conditions:
        condition |= {"status": "False", "reason": "PodCompleted", "observedGeneration": 1}
    container |= {
        "imageID": f"registry.example.org/flows@sha256:{'a' * 64}",
        "containerID": f"containerd://{'b' * 64}",
        "allocatedResources": {"cpu": "100m", "memory": "256Mi"},
        "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m"}},
        "volumeMounts": [{"mountPath": f"/etc/{n}", "name": f"v{n}"} for n in range(4)],
        "user": {"linux": {"gid": 1000, "supplementalGroups": [1000], "uid": 1000}},
    }
    container["state"]["terminated"] |= {
        "containerID": f"containerd://{'b' * 64}",
        "message": json.dumps({"dask-flows": 1, "uid": f"uid-{number}", "result": "r" * 200}),
    }
    made["status"] |= {"hostIP": "10.0.0.1", "podIP": f"10.1.0.{number}", "qosClass": "Burstable"}
    return _of_run(number, made)


def _of_run(number: int, obj: Any) -> dict[str, Any]:
    # Written and read again: nothing of it is shared with the other objects then.
    text = json.dumps(obj).replace("5c28b202", f"{number:08x}").replace("-4000-", f"-{number:04x}-")
    of_run: dict[str, Any] = json.loads(text)
    of_run["metadata"]["labels"] |= {LABEL_RUN: f"run-{number}", LABEL_RUN_UID: f"uid-{number}"}
    return of_run


@cache
def recording(name: str) -> dict[str, Any]:
    """Return what was recorded of a real cluster."""
    return dict(json.loads((RECORDINGS / f"{name}.json").read_text()))


class Many:
    """An API server that makes its pages up when it is asked, so that they cost nothing before."""

    def __init__(self, count: int) -> None:
        self.count = count

    async def list(
        self, resource: Resource, *_: Any, more: str = "", limit: int = 500, **__: Any
    ) -> Page:
        """Return one page."""
        start, make = int(more or 0), {FLOWRUNS: stored, JOBS: job, PODS: pod}[resource]
        items = [make(number) for number in range(start, min(start + limit, self.count))]
        rest = start + limit
        return Page(items, "99999", str(rest) if rest < self.count else "")

    async def watch(self, *_: Any, **__: Any) -> AsyncGenerator[Event, None]:
        """Stay silent."""
        await asyncio.sleep(3600)
        yield Event("BOOKMARK", {})


async def test_thousands_of_finished_runs_fit() -> None:
    """Row 27: below 1 KiB each with all indexes, and a list is read page by page."""
    count = 2_000  # each costs the same; tracing ten thousand would only take longer
    many: Any = Many(count)
    seen = Cache(many, "ns", "r", SystemClock(), lambda _: None)
    tracemalloc.start()
    task = asyncio.create_task(seen.runs.run())
    await asyncio.wait_for(seen.runs.synced.wait(), 60)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert len(seen.runs) == count
    assert held / count < 1024
    assert peak - held < count * 16 * 1024  # a page of whole objects, never all of them
    assert seen.run_by_uid("uid-77") is not None


async def test_finished_runs_fit_while_their_jobs_and_pods_are_there() -> None:
    """Row 27: below 5 KiB for a run, its Job and its pod, until the Job's time to live has passed."""
    count = 200
    many: Any = Many(count)
    seen = Cache(many, "ns", "r", SystemClock(), lambda _: None)
    recording("succeeds")
    tracemalloc.start()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(informer.run()) for informer in seen.informers]
        await asyncio.wait_for(seen.wait_ready(), 60)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        for task in tasks:
            task.cancel()

    assert [len(informer) for informer in seen.informers] == [count] * 3
    assert seen.job_of("uid-77", 1) is not None
    assert [view.phase for view in seen.pods_of("uid-77", 1)] == ["Succeeded"]
    assert held / count < 5 * 1024


def told(view: PodView) -> Any:
    """Return all that the agent reads of a pod's object."""
    end = view.termination or {}
    return (
        diagnose_end(view.obj, view.component),
        diagnose_start(view.obj, view.component),
        unreachable([view], START),
        (view.ended, view.begun, view.termination is None),
        [end.get(part) for part in ("exitCode", "reason", "message", "finishedAt")],
    )


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDINGS.glob("*.json")))
def test_what_is_kept_of_a_pod_says_what_the_pod_says(name: str) -> None:
    """Every recorded trouble is told in the same words."""
    for whole in recording(name)["pods"]:
        view = PodView.of(whole)

        assert told(view) == told(replace(view, obj=whole))


TEXT = st.sampled_from(["OOMKilled", "Error", "StartError", "ErrImagePull", "CrashLoopBackOff"])
WAITING = st.fixed_dictionaries({"reason": TEXT}, optional={"message": TEXT})
TERMINATED = st.fixed_dictionaries(
    {"exitCode": st.integers(0, 2)}, optional={"reason": TEXT, "message": TEXT}
)
STATE = st.one_of(  # Kubernetes gives one at most
    st.just({}),
    st.just({"running": {"startedAt": "2026-01-01T00:00:00Z"}}),
    st.fixed_dictionaries({"waiting": WAITING}),
    st.fixed_dictionaries({"terminated": TERMINATED}),
)
STATUS = st.fixed_dictionaries(
    {"name": st.sampled_from(["runner", "beside"]), "state": STATE},
    optional={"lastState": STATE, "image": TEXT, "imageID": TEXT, "ready": st.booleans()},
)
CONDITION = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["PodScheduled", "DisruptionTarget", "Ready", "Initialized"]),
        "status": st.sampled_from(["True", "False"]),
    },
    optional={
        "reason": st.sampled_from(["DeletionByTaintManager", "PreemptionByScheduler", "Other"]),
        "message": TEXT,
    },
)


@QUICK
@given(
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]),
    more=st.fixed_dictionaries(
        {},
        optional={
            "containerStatuses": st.lists(STATUS, max_size=2),
            "initContainerStatuses": st.lists(STATUS, max_size=1),
            "conditions": st.lists(CONDITION, max_size=3),
            "reason": st.sampled_from(["Evicted", "NodeLost", "OutOfcpu"]),
        },
    ),
)
def test_what_is_kept_of_any_pod_says_what_the_pod_says(phase: str, more: Any) -> None:
    """Nothing that a diagnosis reads is left out, whether the pod has ended or not."""
    container = {"name": "runner", "image": "i:1", "resources": {"limits": {"memory": "1Gi"}}}
    whole = {
        "metadata": {"name": "p", "uid": "u", "labels": {LABEL_COMPONENT: "runner"}},
        "spec": {"containers": [container, {"name": "beside", "image": "b:1"}]},
        "status": {"phase": phase, **more},
    }

    view = PodView.of(whole)

    assert told(view) == told(replace(view, obj=whole))


def test_a_run_at_work_keeps_its_spec_but_not_its_bulk() -> None:
    """Parameters and files are read again by the one step that needs them."""
    data = flow_run_data(parameters={"a": 1}, flow="a.b:c", deadlineSeconds=7)
    run = RunView.of(data).run

    assert (run.spec.parameters, run.spec.deadline, run.raw) == ({}, 7, {})


@pytest.mark.parametrize(
    "spec",
    [None, {}, 5, {"flow": 1}, {"flow": "a:b", "command": ["c"]}, {"flow": "a:b", "new": 1}],
    ids=str,
)
def test_a_bad_spec_is_a_view_that_says_so(spec: Any) -> None:
    """It never stops the informer."""
    assert RunView.of({**flow_run_data(), "spec": spec}).invalid


@pytest.mark.parametrize("status", [None, 5, [], {"conditions": None}], ids=str)
def test_a_bad_status_reads_as_empty(status: Any) -> None:
    """An object from before the CRD had a schema."""
    assert RunView.of({**flow_run_data(), "status": status}).run.phase == "Pending"


@pytest.mark.parametrize(
    "labels",
    [None, {}, {"dask-flows.dev/attempt": "x"}, {"dask-flows.dev/attempt": "-1"}],
    ids=str,
)
def test_objects_with_odd_labels_belong_to_no_attempt(labels: Any) -> None:
    """And do no harm."""
    meta = {"name": "n", "uid": "u", "labels": labels}

    assert JobView.of({"metadata": meta}).attempt == 0
    assert PodView.of({"metadata": meta}).attempt == 0

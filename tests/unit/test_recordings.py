"""Rules of reading a real cluster: what was recorded of every failure becomes the right reason and words.

The recordings were made by ``tests/recordings/record.py``; the pods and Jobs in them are seen by the agent
as it sees those of a run.
"""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dask_flows.agent.observed import Observed
from dask_flows.agent.unreachable import unreachable
from dask_flows.agent.verdict import ending_of, lost_scheduler, why_not_started, why_waiting
from dask_flows.agent.views import JobView, PodView
from dask_flows.agent.warnings import NOTHING, told_by
from dask_flows.deadline import parse_timestamp
from dask_flows.diagnose import diagnose_pod
from dask_flows.flowrun import FlowRun
from dask_flows.names import LABEL_RUN, LABEL_RUN_UID
from dask_flows.plan import make_plan
from samples import agent_config, flow_run

FOLDER = Path(__file__).parents[1] / "recordings"


class Waits(NamedTuple):
    """What status must say while the run is Starting."""

    reason: str
    words: tuple[str, ...]
    final: bool = False


class Ends(NamedTuple):
    """How the attempt must be recorded."""

    reason: str
    words: tuple[str, ...]
    code: int | None = None
    or_code: int | None = None  # a pod that is evicted may lose how its container ended


WAITS = {
    "image-not-found": Waits("ImagePull", ("registry.local/nothing:0", "no such host")),
    "image-never-pulled": Waits("ImagePull", ("registry.local/nothing:0", "pull policy of Never")),
    "image-name-invalid": Waits("ImagePull", ("'Not/A Name'", "no image name"), final=True),
    "init-image": Waits("ImagePull", ("registry.local/nothing:0", "no such host")),
    "secret-missing": Waits("ContainerStart", ('secret "db" not found',)),
    "configmap-key-missing": Waits("ContainerStart", ("key two", "ConfigMap flows/settings")),
    "root-refused": Waits("ContainerStart", ("runAsUser breaks non-root policy",)),
    "volume-configmap-missing": Waits("ContainerStart", ("FailedMount", 'configmap "source" not found')),
    "volume-secret-missing": Waits("ContainerStart", ("FailedMount", 'secret "db" not found')),
    "claim-missing": Waits("Unschedulable", ('persistentvolumeclaim "data" not found',)),
    "too-much-cpu": Waits("Unschedulable", ("Insufficient cpu", "ask for less")),
    "node-selector": Waits("Unschedulable", ("node affinity/selector",)),
    "worker-crashes": Waits("ContainerStart", ("CrashLoopBackOff", "last exit code 1")),
    "worker-memory": Waits("OutOfMemory", ("container worker", "limit of 128Mi")),
    "quota": Waits("QuotaExceeded", ("exceeded quota: small", "limits.memory=128Mi", "have the quota raised")),
    "quota-without-limit": Waits("QuotaExceeded", ("must specify limits.memory",)),
    "limit-range": Waits("Forbidden", ("maximum cpu usage per Container is 2, but limit is 3",)),
    "pod-security": Waits("Forbidden", ('violates PodSecurity "restricted:latest"', "privileged=true")),
    "account-missing": Waits("Forbidden", ('serviceaccount "nobody" not found',)),
    "priority-missing": Waits("Forbidden", ("no PriorityClass with name no-such-class",)),
}  # fmt: skip
ENDS = {
    "exits-1": Ends("FlowFailed", ("exit code 1", "ValueError: no such day", "kubectl logs"), 1),
    "exits-3": Ends("FlowFailed", ("exit code 3",), 3),
    "sigkill": Ends("FlowFailed", ("signal 9",), 137),
    "sigterm": Ends("FlowFailed", ("exit code 143",), 143),
    "sigsegv": Ends("FlowFailed", ("exit code 139",), 139),
    "out-of-memory": Ends("OutOfMemory", ("container runner", "limit of 128Mi", "raise"), 137),
    "node-refuses": Ends("ContainerStart", ("OutOfcpu", "Node didn't have enough resource")),
    "program-missing": Ends("ContainerStart", ("/no/such/program", "entry point"), 128),
    "init-fails": Ends("ContainerStart", ("init container prepare", "exit code 3", "no data", "-c prepare")),
    "volume-full": Ends("Evicted", ('EmptyDir volume "x" exceeds the limit "8Mi"',), None, 143),
    "disk-full": Ends("Evicted", ("ephemeral local storage usage exceeds", "8Mi"), None, 143),
    "evicted-by-api": Ends("Evicted", ("EvictionByEvictionAPI",), 143),
    "preempted": Ends("Preempted", ("higher priority",), 143),
    "node-lost": Ends("NodeLost", ("node no longer exists",)),
    "node-removed": Ends("NodeLost", ("node no longer exists",)),
    "pod-deleted": Ends("RunnerDeleted", ("stopped from outside, or its pod deleted",), 143),
    "pod-deleted-after": Ends("RunnerDeleted", ("pod of Job f-pod-deleted-",)),
    "job-deleted": Ends("JobDeleted", ("somebody deleted Job f-job-deleted-",)),
    "pod-deadline": Ends("FlowFailed", ("exit code 143",), 143),
    "job-deadline": Ends("RunnerDeleted", ("stopped from outside",)),
}  # fmt: skip
# A scheduler's end, which is told to the runner.
LOST = {
    "scheduler-killed": ("ended with exit code 137",),
    "scheduler-memory": ("limit of 128Mi",),
    "scheduler-evicted": ("EvictionByEvictionAPI",),
    "scheduler-deleted": ("somebody deleted it",),
}
SUCCEEDS = ["succeeds"]  # without the runner's record: its own rule is below
# Told to end, or silent: until it is known to be dead nothing is decided. True: its node does not answer.
GOES_ON = {
    "evicted-by-api-ending": False,
    "preempted-ending": False,
    "pod-deleted-ending": False,
    "job-deleted-ending": False,
    "node-silent": True,
    "node-lost-ending": True,
}


def recording(name: str) -> dict[str, Any]:
    """Return what was recorded."""
    return dict(json.loads((FOLDER / f"{name}.json").read_text()))


def observed(name: str, phase: str) -> Observed:
    """Return a recording as the agent sees the run whose objects these are."""
    made = recording(name)
    pods = [PodView.of(pod) for pod in made["pods"]]
    runners = tuple(pod for pod in pods if pod.component == "runner")
    base = made["job"] or made["pods"] or [{"metadata": {"name": f"f-{name}-5c28b202-1"}}]
    first = base if isinstance(base, dict) else base[0]
    labels = first["metadata"].get("labels") or {LABEL_RUN: name, LABEL_RUN_UID: "u"}
    status: dict[str, Any] = {"phase": phase, "attempt": 1, "jobName": first["metadata"]["name"]}
    if phase == "Running":
        status["startedBy"] = runners[0].uid if runners else "the pod that is gone"
    meta = {"name": labels[LABEL_RUN], "namespace": "flows", "uid": labels[LABEL_RUN_UID]}
    run = FlowRun.parse(
        {"metadata": {**meta, "resourceVersion": "1"}, "spec": {"flow": "a:b"}, "status": status}
    )
    return Observed(
        run=run,
        job=JobView.of(made["job"]) if made["job"] else None,
        runners=runners,
        dask=tuple(pod for pod in pods if pod.component != "runner"),
        told=tuple(told for event in made["events"] if (told := told_by(event)) is not NOTHING),
        job_seen=True,
        runner_seen=phase == "Running",
    )


def test_every_recording_is_in_one_table() -> None:
    """Nothing was recorded in vain, and nothing is expected that was never seen."""
    expected = [*WAITS, *ENDS, *GOES_ON, *LOST, *SUCCEEDS]

    assert sorted(expected) == sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.mark.parametrize("name", WAITS)
def test_what_keeps_a_pod_from_starting(name: str) -> None:
    """Reason and the words that a person needs; final only where waiting cannot help."""
    seen, wanted = observed(name, "Starting"), WAITS[name]

    found = why_not_started(seen, seen.dask[0]) if seen.dask else why_waiting(seen)

    assert found is not None
    assert (found.reason, found.final) == (wanted.reason, wanted.final), found
    assert [word for word in wanted.words if word not in found.message] == [], found.message
    assert seen.dask or ending_of(seen) is None


@pytest.mark.parametrize("name", ENDS)
def test_what_ended_an_attempt(name: str) -> None:
    """Reason, words and exit code, from the pod and Job alone: the runner left no record."""
    wanted = ENDS[name]

    ending = ending_of(observed(name, "Running"))

    assert ending is not None
    assert (ending.phase, ending.reason) == ("Failed", wanted.reason)
    assert ending.exit_code in (wanted.code, wanted.or_code or wanted.code)
    assert [word for word in wanted.words if word not in ending.message] == [], ending.message


@pytest.mark.parametrize("name", GOES_ON)
def test_nothing_is_decided_before_the_pod_is_dead(name: str) -> None:
    """A pod that is told to go still runs; one on a silent node may run, and the run says so."""
    seen = observed(name, "Running")

    assert ending_of(seen) is None
    assert (unreachable(seen.runners, _told_to_go(seen)) is not None) is GOES_ON[name]


@pytest.mark.parametrize("name", LOST)
def test_what_became_of_a_scheduler(name: str) -> None:
    """Its attempt cannot go on, and the message says why; a runner that still lives is not ended by this alone."""
    plan = make_plan(agent_config("ephemeral"), flow_run(), "ephemeral", 1)
    runner = observed("node-silent", "Running")
    seen = replace(runner, plan=plan, dask=observed(name, "Running").dask)

    lost = lost_scheduler(seen)

    assert lost is not None
    assert lost.reason == "SchedulerLost"
    assert [word for word in LOST[name] if word not in lost.message] == [], lost.message
    assert ending_of(seen) is None


def test_a_pod_that_ended_well_without_a_record_is_no_success() -> None:
    """Only the runner's own record is one; its pod has no evidence against anybody."""
    made = recording("succeeds")
    ending = ending_of(observed("succeeds", "Running"))

    assert diagnose_pod(made["pods"][0], "runner") is None
    assert ending is not None
    assert (ending.phase, ending.reason, ending.exit_code) == ("Failed", "FlowFailed", 0)


@pytest.mark.parametrize("name", sorted(WAITS))
def test_a_reason_goes_away_when_the_pod_runs(name: str) -> None:
    """Events outlive what they told of: once its pod runs nothing of them is believed."""
    seen, running = observed(name, "Starting"), recording("node-silent")["pods"][0]
    pod = PodView.of({**running, "metadata": {**running["metadata"], "name": _pod_told(seen)}})

    found = why_waiting(
        Observed(run=seen.run, job=seen.job, runners=(pod,), told=seen.told, job_seen=True)
    )

    assert pod.phase == "Running"
    assert not pod.deleting
    assert found is None


def _told_to_go(seen: Observed) -> datetime:
    metadata = seen.runners[0].obj["metadata"]
    return parse_timestamp(metadata.get("deletionTimestamp", "2026-01-01T00:01:00Z"))


def _pod_told(seen: Observed) -> str:
    return next((told.name for told in seen.told if told.kind == "Pod"), "other")

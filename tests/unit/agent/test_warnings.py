"""Rules of events: what Kubernetes says nowhere else is shown at once, and forgotten when it is over."""

import asyncio
from typing import Any

import pytest

from dask_flows.agent.warnings import FIELDS, NOTHING, told_by
from dask_flows.kube.errors import error_from
from dask_flows.kube.resources import EVENTS, JOBS, PODS
from dask_flows.names import attempt_of
from dask_flows.told import Told, diagnose_creation, diagnose_setup
from fakes.stage import Stage, playing
from fakes.store import selected

QUOTA = (
    'Error creating: pods "f-x" is forbidden: exceeded quota: small, used: pods=2, limited: pods=2'
)
MOUNT = 'MountVolume.SetUp failed for volume "source" : configmap "source" not found'


def warn(stage: Stage, kind: str, name: str, reason: str, message: str) -> None:
    """Let Kubernetes tell something."""
    about = {"kind": kind, "name": name, "namespace": "ns"}
    event = {"type": "Warning", "reason": reason, "message": message, "involvedObject": about}
    stage.api.add(EVENTS, {"metadata": {"name": f"{name}.{len(stage.api.names(EVENTS))}"}, **event})


def dry_runs(stage: Stage) -> int:
    """Count how often the API server was asked whether it would admit the runner's pod."""
    return sum(request[:2] == ("create", "pods") for request in stage.api.requests)


@pytest.mark.looptime
async def test_a_job_without_a_pod_is_explained_by_its_event() -> None:
    """Row 20: within a second, without asking; the run starts by itself when there is room."""
    async with playing("static") as stage:
        stage.nodes.no_pods = True
        stage.submit()
        await stage.until(lambda: stage.api.names(JOBS))
        (job,) = stage.api.names(JOBS)
        warn(stage, "Job", job, "FailedCreate", QUOTA)
        await stage.until(lambda: stage.phase() == "Starting/QuotaExceeded", 1)
        await asyncio.sleep(20)

        assert "exceeded quota: small" in stage.status()["message"]
        assert dry_runs(stage) == 0
        stage.nodes.no_pods = False
        runner = await stage.runner()
        await stage.until(lambda: stage.phase() == "Starting", 5)
        assert (await runner.start(stage.channel)).status == 200


@pytest.mark.looptime
async def test_a_volume_that_cannot_be_mounted_is_explained_by_its_event() -> None:
    """Nothing else tells; once the pod runs the event is not believed any more."""
    async with playing("static") as stage:
        stage.nodes.broken["-1-"] = {"conditions": []}
        stage.submit(startDeadlineSeconds=60)
        await stage.until(lambda: stage.api.names(PODS))
        (pod,) = stage.api.names(PODS)
        warn(stage, "Pod", pod, "FailedMount", MOUNT)
        await stage.until(lambda: stage.phase() == "Starting/ContainerStart", 1)

        assert 'configmap "source" not found' in stage.status()["message"]
        stage.nodes.broken.clear()
        await stage.until(lambda: stage.phase() == "Starting", 5)


@pytest.mark.looptime
async def test_a_volume_that_is_never_mounted_fails_the_run_with_that_reason() -> None:
    """Not with StartDeadlineExceeded, which helps nobody."""
    async with playing("static") as stage:
        stage.nodes.broken["-1-"] = {"conditions": []}
        stage.submit(startDeadlineSeconds=20)
        await stage.until(lambda: stage.api.names(PODS))
        (pod,) = stage.api.names(PODS)
        warn(stage, "Pod", pod, "FailedMount", MOUNT)

        await stage.until(lambda: stage.phase() == "Failed/ContainerStart", 40)


@pytest.mark.looptime
async def test_a_new_agent_knows_what_was_told_before() -> None:
    """Events are listed, not only watched."""
    async with playing("static") as stage:
        stage.nodes.no_pods = True
        stage.submit()
        await stage.until(lambda: stage.api.names(JOBS))
        await stage.kill_agent()
        (job,) = stage.api.names(JOBS)
        warn(stage, "Job", job, "FailedCreate", QUOTA)
        await stage.restart()

        await stage.until(lambda: stage.phase() == "Starting/QuotaExceeded", 2)


@pytest.mark.looptime
@pytest.mark.parametrize("verb", ["list", "watch"])
async def test_an_agent_that_may_not_read_events_does_without(verb: str) -> None:
    """Row 36: it is ready, and runs start and end as ever."""
    async with playing("static") as stage:
        error = error_from(403, None, verb=verb, resource="events")
        stage.api.faults.fail(verb, "events", error, times=10**9)
        stage.submit("well")
        runner = await stage.started("well")
        await runner.finish(stage.channel)
        await stage.cleaned("well")

        assert stage.phase("well") == "Succeeded"
        assert stage.agent.cache.ready


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (QUOTA, "QuotaExceeded"),
        ("Error creating: pods is forbidden: failed quota: q: must specify limits.cpu", "QuotaExceeded"),
        ('Error creating: admission webhook "x" denied the request: no', "Forbidden"),
        ("Error creating: Internal error occurred: failed calling webhook: refused", "Forbidden"),
        ("Error creating: etcdserver: request timed out", None),
        ("Error creating: Timeout: request did not complete within 34s", None),
    ],
)  # fmt: skip
def test_only_lasting_trouble_of_a_creation_is_a_reason(message: str, reason: str | None) -> None:
    """What passes by itself in a second is not shown."""
    found = diagnose_creation([Told("Job", "j", "FailedCreate", message)], "j")

    assert (found.reason if found else None) == reason


@pytest.mark.parametrize(
    "said", ["exceeded quota: small", "failed quota: q: must specify limits.cpu"]
)
def test_an_event_and_an_answer_name_the_same_reason(said: str) -> None:
    """Whoever is refused, the agent or the Job controller."""
    message = f"pods is forbidden: {said}"
    answer = error_from(403, {"kind": "Status", "message": message}, verb="create", resource="pods")
    told = diagnose_creation([Told("Job", "j", "FailedCreate", f"Error creating: {message}")], "j")

    assert told is not None
    assert told.reason == answer.reason == "QuotaExceeded"


PENDING: dict[str, Any] = {"phase": "Pending"}
SANDBOX = {"type": "PodReadyToStartContainers"}
WAITING = [{"name": "runner", "state": {"waiting": {"reason": "ContainerCreating"}}}]


@pytest.mark.parametrize(
    ("status", "message", "believed"),
    [
        (PENDING, MOUNT, True),
        ({**PENDING, "conditions": [{**SANDBOX, "status": "False"}]}, MOUNT, True),
        ({**PENDING, "conditions": [{**SANDBOX, "status": "True"}]}, MOUNT, False),
        ({**PENDING, "containerStatuses": WAITING}, MOUNT, False),
        ({"phase": "Running"}, MOUNT, False),
        ({"phase": "Failed"}, MOUNT, False),
        (PENDING, "failed to sync configmap cache: timed out waiting for the condition", False),
    ],
)
def test_an_event_is_believed_while_the_pod_looks_like_it(
    status: dict[str, Any], message: str, believed: bool
) -> None:
    """Events outlive what they tell of by an hour."""
    pod = {"metadata": {"name": "p"}, "status": status}

    found = diagnose_setup([Told("Pod", "p", "FailedMount", message)], pod, "runner")

    assert (found is not None) is believed


ATTEMPT = "f-day-5c28b202-1"
MISSING = 'MountVolume.SetUp failed for volume "attempt" : secret "{}" not found'


@pytest.mark.parametrize(
    ("pod", "message", "believed"),
    [
        (f"{ATTEMPT}-x7k2p", MISSING.format(f"{ATTEMPT}-0a1b2c3d"), False),
        (f"{ATTEMPT}-x7k2p", MISSING.format(f"{ATTEMPT}-0a1b2c3"), True),
        (f"{ATTEMPT}-x7k2p", MISSING.format("f-day-5c28b202-2-0a1b2c3d"), True),
        (f"{ATTEMPT}-x7k2p", MISSING.format("database"), True),
        (f"{ATTEMPT}-x7k2p", MISSING.format(f"my-{ATTEMPT}-0a1b2c3d"), True),
        (f"{ATTEMPT}-x7k2p", f'references non-existent secret key: token of "{ATTEMPT}-0a1b2c3d"', True),
        (f"{ATTEMPT}-x7k2p", MISSING.format(f"{ATTEMPT}-0a1b2c3d").replace("secret", "configmap"), True),
        ("x7k2p", MISSING.format("x7k2p-0a1b2c3d"), True),
    ],
)  # fmt: skip
def test_nobody_is_sent_to_create_the_attempt_s_own_secret(
    pod: str, message: str, believed: bool
) -> None:
    """The agent makes it a moment after the Job; any other that is missing is somebody's mistake."""
    told = [Told("Pod", pod, "FailedMount", message)]

    found = diagnose_setup(told, {"metadata": {"name": pod}, "status": PENDING}, "runner")

    assert (found is not None) is believed


def test_the_attempt_s_own_secret_hides_no_other_trouble() -> None:
    """What else is told of the pod is said."""
    pod = {"metadata": {"name": f"{ATTEMPT}-x7k2p"}, "status": PENDING}
    own, other = MISSING.format(f"{ATTEMPT}-0a1b2c3d"), MISSING.format("database")
    told = [Told("Pod", f"{ATTEMPT}-x7k2p", "FailedMount", text) for text in (own, other)]

    found = diagnose_setup(told, pod, "runner")

    assert found is not None
    assert 'secret "database" not found' in found.message


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("f-day-5c28b202-1", "f-day-5c28b202-1"),
        ("f-day-5c28b202-1-x7k2p", "f-day-5c28b202-1"),
        ("f-day-5c28b202-12-worker-3", "f-day-5c28b202-12"),
        ("f-a-deadbeef-1-5c28b202-2-scheduler", "f-a-deadbeef-1-5c28b202-2"),
        ("f-day-5c28b202-1x", ""),
        ("my-pod", ""),
        ("", ""),
    ],
)
def test_an_object_s_name_tells_its_attempt(name: str, base: str) -> None:
    """So that events, which have no labels, find their run."""
    assert attempt_of(name) == base


@pytest.mark.parametrize(
    ("kind", "name", "reason", "kept"),
    [
        ("Job", "f-day-5c28b202-1", "FailedCreate", True),
        ("Pod", "f-day-5c28b202-1-x7k2p", "FailedMount", True),
        ("Pod", "f-day-5c28b202-1-x7k2p", "BackOff", False),
        ("Pod", "somebody-else-s", "FailedMount", False),
    ],
)
def test_events_about_others_take_no_room(kind: str, name: str, reason: str, kept: bool) -> None:
    """A namespace may have thousands of them."""
    event = {"involvedObject": {"kind": kind, "name": name}, "reason": reason, "message": "m"}

    assert (told_by(event) is not NOTHING) is kept


@pytest.mark.parametrize(
    ("event", "asked_for"),
    [
        ({"type": "Warning", "reason": "FailedMount", "involvedObject": {"kind": "Pod"}}, True),
        ({"type": "Normal", "reason": "FailedMount", "involvedObject": {"kind": "Pod"}}, False),
        ({"type": "Warning", "reason": "BackOff", "involvedObject": {"kind": "Pod"}}, False),
        ({"type": "Warning", "reason": "FlowFailed", "involvedObject": {"kind": "FlowRun"}}, False),
    ],
)
def test_the_server_sends_only_what_may_matter(event: dict[str, Any], asked_for: bool) -> None:
    """Our own events, and those that say what a status says as well, stay away."""
    assert selected({"metadata": {}, **event}, "", FIELDS) is asked_for

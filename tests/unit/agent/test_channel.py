"""The attempt channel: one start, beats that are held, a finish that is durable before its answer."""

import asyncio
from dataclasses import replace

import pytest

from dask_flows.agent.channel import STARTING_SECONDS
from dask_flows.kube.errors import Conflict, Unreachable
from dask_flows.kube.resources import FLOWRUNS, JOBS
from fakes.faults import AFTER
from fakes.runner import FakeRunner
from fakes.stage import Stage, playing

pytestmark = pytest.mark.looptime

OTHER_POD = "11111111-0000-4000-8000-000000000000"


async def test_the_start_is_durable_before_it_is_answered() -> None:
    """Whoever hears 200 finds its UID in status."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.runner()
        answer = await runner.start(stage.channel)

        assert (answer.status, answer.body) == (200, {"deadlineSeconds": None})
        assert stage.status()["startedBy"] == runner.object["metadata"]["uid"]


async def test_the_same_pod_may_ask_again_and_no_other() -> None:
    """A lost answer costs nothing; a second pod is told to go."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.runner()
        await runner.start(stage.channel)
        writes = len(stage.api.writes)

        assert (await runner.start(stage.channel)).status == 200
        assert (await runner.start(stage.channel, podUid=OTHER_POD)).status == 409
        assert (await runner.beat(stage.channel, podUid=OTHER_POD)).status == 409
        assert len(stage.api.writes) == writes


async def test_two_pods_at_once_get_one_leave() -> None:
    """The resourceVersion decides, whoever came first."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.runner()
        answers = await asyncio.gather(
            *(runner.start(stage.channel, podUid=f"{n}{OTHER_POD[1:]}") for n in range(5))
        )

        assert sorted(answer.status for answer in answers) == [200, 409, 409, 409, 409]


async def test_a_race_with_other_writers_is_run_again() -> None:
    """Somebody else changed the FlowRun in between: the start is decided on the newest copy."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.runner()
        stage.api.faults.fail("patch/status", "flowruns", Conflict("changed"), times=3)

        assert (await runner.start(stage.channel)).status == 200


async def test_a_lost_race_against_the_cancel_is_a_refusal() -> None:
    """The newest copy says that the run is over."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.runner()
        await stage.kill_agent()
        stage.api.change(FLOWRUNS, "diamond", {"status": {"phase": "Cancelled"}})

        assert (await runner.start(stage.channel)).status == 409


@pytest.mark.parametrize("verb", ["start", "beat", "finish"])
async def test_a_wrong_token_is_refused(verb: str) -> None:
    """Every call proves which attempt it speaks for."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        body = runner.record().to_dict() if verb == "finish" else {"podUid": "x"}
        answer = await runner.call(stage.channel, verb, token="wrong", **body)

        assert answer.status == 401
        assert stage.phase() == "Running"


async def test_an_unknown_run_and_an_unknown_call() -> None:
    """404 for both."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()

        assert (await runner.call(stage.channel, "start", of_uid="nobody")).status == 404
        assert (await runner.call(stage.channel, "stop")).status == 404


async def test_an_attempt_that_is_over_or_not_there_yet() -> None:
    """A late start is refused; a late beat hears that it is over; a late finish changes nothing."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        token = runner.token()
        await runner.finish(stage.channel, result=1)

        assert (await runner.start(stage.channel, token=token)).status == 409
        late = await runner.beat(stage.channel, token=token, waitSeconds=10)
        assert late.body["stop"]["reason"] == "Succeeded"
        again = await runner.call(
            stage.channel, "finish", token=token, **runner.record("Failed").to_dict()
        )
        assert again.status == 200
        assert stage.phase() == "Succeeded"
        assert (await runner.start(stage.channel, token=token, of_attempt=2)).status == 404


async def outlives(stage: Stage, failures: int) -> FakeRunner:
    """Return a runner whose agent has just been replaced by one that cannot list at first."""
    stage.submit()
    runner = await stage.runner()
    stage.api.faults.fail("list", "*", Unreachable("down"), times=failures)
    await stage.restart()
    return runner


async def test_an_agent_that_is_starting_says_so() -> None:
    """Before the first lists are complete nothing can be decided."""
    async with playing() as stage:
        runner = await outlives(stage, failures=100)

        assert (await runner.start(stage.channel)).status == 503


async def test_a_call_that_comes_early_is_held() -> None:
    """Asking again and again, a thousand runners would hold up the lists that they wait for."""
    async with playing() as stage:
        runner = await outlives(stage, failures=3)
        begin = asyncio.get_running_loop().time()

        assert (await runner.start(stage.channel)).status == 200
        assert 0 < asyncio.get_running_loop().time() - begin < STARTING_SECONDS


async def test_an_early_beat_is_held_for_as_long_as_it_asked() -> None:
    """One call of each runner instead of three; and not for its time again once the agent is ready."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        stage.api.faults.fail("list", "flowruns", delay=8.0)
        await stage.restart()
        begin = asyncio.get_running_loop().time()

        answer = await runner.beat(stage.channel, waitSeconds=10)
        took = asyncio.get_running_loop().time() - begin

        assert answer.status == 200
        assert STARTING_SECONDS < took < 10.5


async def test_a_late_finish_is_known_by_a_job_that_nobody_follows() -> None:
    """Its answer was lost: it may be said again long after the run was cleaned up, also to a new agent."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.started()
        token, record = runner.token(), runner.record("Succeeded").to_dict()
        await runner.finish(stage.channel)
        await stage.cleaned()
        await stage.restart()

        assert (await runner.call(stage.channel, "finish", token=token, **record)).status == 200
        assert (await runner.call(stage.channel, "finish", token="x", **record)).status == 401
        assert len(stage.agent.cache.jobs) == 0


@pytest.mark.parametrize("attempt", [0, 3, 999999])
async def test_numbers_of_no_attempt_cost_the_api_server_nothing(attempt: int) -> None:
    """Whoever reaches the port may send them."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.started()
        before = len(stage.api.requests)

        assert (await runner.start(stage.channel, of_attempt=attempt)).status == 404
        assert (await runner.start(stage.channel, token="x")).status == 401
        assert len(stage.api.requests) == before + 1


async def test_a_start_that_cannot_be_written_is_not_answered_with_leave() -> None:
    """503 until the API server takes the write."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.runner()
        fault = stage.api.faults.fail(
            "patch/status", "flowruns", Unreachable("down"), times=100, moment=AFTER
        )

        assert (await runner.start(stage.channel)).status == 503
        fault.times = 0
        assert (await runner.start(stage.channel)).status == 200


@pytest.mark.parametrize(
    ("asked", "held"),
    [(10, 10), (2.5, 2.5), (0.0, 0), (100, 30), (-5, 10), (None, 10), ("long", 10), (True, 10)],
    ids=str,
)
async def test_a_beat_is_held_and_then_answered(asked: object, held: float) -> None:
    """Nothing to say: the answer comes when the time is over, and never in a spin by mistake."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        before = stage.clock.monotonic()
        answer = await runner.beat(stage.channel, workers=1, waitSeconds=asked)

        assert answer.body == {"stop": None, "deadlineSeconds": None}
        assert stage.clock.monotonic() - before == pytest.approx(held, abs=0.1)


async def test_a_held_beat_of_a_deleted_run_is_told_to_stop() -> None:
    """Its FlowRun is gone."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        held = asyncio.create_task(runner.beat(stage.channel, workers=1, waitSeconds=10))
        await asyncio.sleep(1)
        stage.api.remove(FLOWRUNS, "ns", "diamond")

        assert (await held).body["stop"]["reason"] == "Cancelled"
        assert stage.clock.monotonic() < 5


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("start", {}),
        ("start", {"podUid": 5}),
        ("beat", {"podUid": ""}),
        ("finish", {}),
        ("finish", {"dask-flows": 1, "uid": "other", "attempt": 1, "outcome": "Succeeded"}),
    ],
    ids=str,
)
async def test_nonsense_is_refused_politely(verb: str, body: dict[str, object]) -> None:
    """400, and nothing happens to the run."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()

        assert (await runner.call(stage.channel, verb, **body)).status == 400
        assert stage.phase() == "Running"


@pytest.mark.parametrize("begun", [True, False], ids=["running", "before the start"])
@pytest.mark.parametrize("pod", ["", "another"], ids=["of nobody", "of another pod"])
async def test_only_the_pod_that_started_succeeds(pod: str, begun: bool) -> None:
    """Row 4: a success of an attempt that no pod, or another one, has started is refused."""
    async with playing("static") as stage:
        stage.submit()
        runner = await (stage.started() if begun else stage.runner())
        body = replace(runner.record(), pod_uid=pod).to_dict()

        assert (await runner.call(stage.channel, "finish", **body)).status == 409
        assert stage.phase() == ("Running" if begun else "Starting")


async def test_a_failure_that_crosses_the_start_of_another_pod_is_refused() -> None:
    """Row 5: what a second pod says of itself ends no attempt, also if the start is not in status yet."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.runner()
        stage.api.faults.fail("patch/status", "flowruns", delay=5)
        starting = asyncio.create_task(runner.start(stage.channel))
        await asyncio.sleep(1)
        record = runner.record("Failed", reason="DuplicateStart", exit_code=96)
        body = replace(record, pod_uid="another").to_dict()

        assert (await runner.call(stage.channel, "finish", **body)).status == 409
        assert (await starting).status == 200
        assert stage.phase() == "Starting"


async def test_a_runner_that_fails_before_it_starts_says_so() -> None:
    """Its flow cannot be imported, for instance."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.runner()

        assert (await runner.finish(stage.channel, "Failed", reason="BadFlow")).status == 200
        assert stage.phase() == "Failed/BadFlow"


@pytest.mark.parametrize(
    "beat",
    [
        {"workers": "two"},
        {"workers": True},
        {"scaling": 3},
        {"scaling": {"wanted": "x", "idle": 5}},
        {"phase": None},
    ],
    ids=str,
)
async def test_a_beat_with_odd_fields_does_no_harm(beat: dict[str, object]) -> None:
    """A runner of another version may say more, or less."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()

        assert (await runner.beat(stage.channel, **beat)).status == 200
        await asyncio.sleep(10)
        assert stage.phase() == "Running"


async def test_a_finish_before_any_beat_has_the_runner_s_times() -> None:
    """A flow of a millisecond has run too."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.runner()
        await runner.start(stage.channel)
        moment = "2026-01-01T00:00:02Z"
        await runner.finish(stage.channel, times={"running": moment})

        assert (stage.phase(), stage.status()["runningTime"]) == ("Succeeded", moment)


async def test_the_token_is_known_even_after_the_job_is_gone() -> None:
    """A runner whose Job was deleted can still report its end."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        token, record = runner.token(), runner.record("Failed", exit_code=143)
        stage.api.remove(JOBS, "ns", stage.jobs()[0])
        answer = await runner.call(stage.channel, "finish", token=token, **record.to_dict())

        assert answer.status == 200
        assert stage.phase() == "Failed/JobDeleted"

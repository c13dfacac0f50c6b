"""What /metrics shows: runs are played, then the answer is read as Prometheus reads it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.test_utils import make_mocked_request
from prometheus_client.parser import text_string_to_metric_families

from dask_flows import names
from dask_flows.agent.exposition import expose_process, scrape
from dask_flows.agent.main import Agent
from dask_flows.agent.metrics import Metrics
from dask_flows.agent.server import make_app
from dask_flows.agent.status import finished
from dask_flows.agent.verdict import Ending
from dask_flows.flowrun import FlowRun
from dask_flows.kube.counted import Counted
from dask_flows.kube.errors import Unreachable, error_from
from dask_flows.kube.informer import Informer
from dask_flows.kube.resources import CONFIG_MAPS, PODS
from fakes.clock import FixedClock
from fakes.stage import Stage
from samples import UID

pytestmark = pytest.mark.looptime
DOCS = Path(__file__).parents[3] / "docs" / "how-to" / "monitoring.md"
RUNS = "flowruns.dask-flows.dev"


def finished_run(number: int) -> dict[str, Any]:
    """Return a run that is over and cleaned up, as the API stores it."""
    done = [{"type": "CleanedUp", "status": "True"}]
    return {
        "metadata": {
            "name": f"run-{number}", "namespace": "ns", "uid": f"u{number}", "resourceVersion": f"{10**6 + number}"
        },
        "spec": {"command": ["true"]},
        "status": {"phase": "Succeeded", "attempt": 1, "conditions": done},
    }  # fmt: skip


class Scraped:
    """One answer of /metrics."""

    def __init__(self, metrics: Metrics) -> None:
        text = scrape(metrics).decode()
        self.families = list(text_string_to_metric_families(text))

    def value(self, name: str, **labels: str) -> float:
        """Return one number; 0 if it is not there."""
        return self.values(name).get(tuple(sorted(labels.items())), 0.0)

    def values(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Return the samples of this name, by their labels."""
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == f"dask_flows_{name}"
        }


@asynccontextmanager
async def watched(mode: str = "ephemeral") -> AsyncIterator[Stage]:
    """Yield a stage whose agent counts what it asks the API, as the real one does."""
    stage = Stage(mode)
    metrics = Metrics(stage.clock)
    counted = Counted(stage.api, metrics.request, stage.clock)
    stage.agent = Agent(counted, stage.config, stage.clock, metrics)
    stage.raise_curtain()
    try:
        yield stage
    finally:
        await stage.fall()


def left_over(name: str) -> dict[str, Any]:
    """Return an object of a run that is gone."""
    labels = {
        names.LABEL_MANAGED_BY: names.MANAGER,
        names.LABEL_INSTANCE: "r",
        names.LABEL_RUN: name,
        names.LABEL_RUN_UID: "gone",
        names.LABEL_ATTEMPT: "1",
    }
    return {"metadata": {"name": name, "labels": labels}}


def read(stage: Stage) -> Scraped:
    """Scrape the stage's agent."""
    return Scraped(stage.agent.metrics)


async def test_runs_are_shown_by_phase_and_reason() -> None:
    """The gauges follow the cluster, the counters what this agent saw end."""
    async with watched() as stage:
        stage.submit("good")
        stage.submit("bad")
        stage.submit("held", suspend=True)
        good, bad = await stage.started("good"), await stage.started("bad")
        during = read(stage)
        await good.finish(stage.channel)
        await bad.finish(stage.channel, "Failed", reason="FlowFailed", exit_code=1)
        for name in ("good", "bad"):
            await stage.cleaned(name)
        after = read(stage)

    assert during.value("runs", phase="Running", reason="") == 2
    assert during.value("runs", phase="Suspended", reason="") == 1
    assert after.value("runs", phase="Running", reason="") == 0
    assert after.value("runs", phase="Failed", reason="FlowFailed") == 1
    assert after.value("runs_ended_total", outcome="Succeeded", reason="", mode="ephemeral") == 1
    assert (
        after.value("runs_ended_total", outcome="Failed", reason="FlowFailed", mode="ephemeral")
        == 1
    )
    assert after.value("attempts_started_total", mode="ephemeral") == 2
    assert sum(after.values("attempts_ended_total").values()) == 2
    assert after.value("claim_latency_seconds_count") == 2
    assert after.value("start_latency_seconds_count", mode="ephemeral") == 2


async def test_a_run_that_never_began_has_no_mode() -> None:
    """Cancelled while it was held: an end, but not of an attempt."""
    async with watched() as stage:
        stage.submit(suspend=True)
        await stage.until(lambda: stage.phase() == "Suspended")
        stage.edit(cancel=True)
        await stage.until(lambda: stage.phase().startswith("Cancelled"))
        now = read(stage)

    assert now.value("runs_ended_total", outcome="Cancelled", reason="Cancelled", mode="") == 1
    assert now.values("attempts_ended_total") == {}


async def test_requests_are_counted_by_what_the_api_answered() -> None:
    """With their time; what the informers do is told with its reason."""
    async with watched() as stage:
        broken = error_from(503, None, verb="create", resource="configmaps")
        stage.api.faults.fail("create", CONFIG_MAPS.plural, broken, times=2, delay=3)
        stage.submit()
        await (await stage.started()).finish(stage.channel)
        stage.api.faults.fail("watch", PODS.plural, Unreachable("silent"), times=3)
        await stage.until(lambda: stage.agent.cache.pods.ends["Unreachable"], 900)
        now = read(stage)

    assert now.value("api_requests_total", verb="create", resource="configmaps", code="503") == 2
    assert now.value("api_requests_total", verb="create", resource="configmaps", code="2xx") == 1
    assert now.value("api_request_duration_seconds_sum", verb="create", resource="configmaps") >= 6
    assert now.value("api_requests_total", verb="patch", resource=f"{RUNS}/status", code="2xx") > 3
    assert now.value("reconcile_failures_total", kind="KubeError") == 2
    assert now.value("reconcile_duration_seconds_count") > 3
    assert now.value("relists_total", resource=RUNS, reason="First") == 1
    assert now.value("watch_restarts_total", resource="pods", reason="Unreachable") >= 1
    assert now.value("watch_silence_seconds", resource=RUNS) < 180
    assert now.value("events_total", result="sent") > 2


async def test_status_lag_is_from_the_end_of_the_container_if_no_call_came() -> None:
    """A runner that died while no agent was there: the lag is as long as it was away."""
    async with watched() as stage:
        stage.submit()
        runner = await stage.started()
        await stage.kill_agent()
        runner.die(1, "Failed", reason="FlowFailed")
        await stage.until(
            lambda: stage.agent.tally.waiting == 0 and stage.clock.monotonic() > 45, 60
        )
        await stage.restart()
        await stage.until(lambda: stage.phase().startswith("Failed"))
        now = read(stage)

    assert now.value("status_lag_seconds_count") == 1
    assert now.value("status_lag_seconds_sum") > 10


def test_status_lag_is_from_the_first_finish_call_that_was_heard() -> None:
    """One that could not be recorded counts, one that was refused does not; a repeated one adds nothing."""
    clock = FixedClock()
    metrics = Metrics(clock)
    run = claimed()
    metrics.finishing(run.uid)
    metrics.called("finish", run.uid, 401)
    clock.seconds = 100
    metrics.finishing(run.uid)
    metrics.called("finish", run.uid, 503)
    metrics.called("beat", run.uid, 200)  # one that was held is answered meanwhile
    clock.seconds = 107
    metrics.finishing(run.uid)
    metrics.wrote(run, finished(run, Ending("Succeeded"), clock.now()), "2026-01-01T00:00:01Z")
    metrics.called("finish", run.uid, 200)
    now = Scraped(metrics)

    assert now.value("status_lag_seconds_count") == 1
    assert now.value("status_lag_seconds_sum") == 7
    assert now.value("channel_calls_total", verb="finish", code="503") == 1
    assert metrics._finishing == {}


def test_an_attempt_that_is_tried_again_is_an_end_of_the_attempt_only() -> None:
    """Its reason is counted, the run goes on; the next claim is a start, but no claim of the run."""
    metrics, run = Metrics(FixedClock()), claimed()
    ended = [
        {"attempt": 1, "reason": "NodeLost", "startTime": "x", "finishTime": "2026-01-01T00:00:00Z"}
    ]
    metrics.wrote(run, {"phase": "Pending", "reason": "NodeLost", "attempts": ended})
    waiting = claimed(phase="Pending", attempts=ended)
    again = [*ended, {"attempt": 2, "startTime": "2026-01-01T00:00:00Z"}]
    metrics.wrote(waiting, {"phase": "Starting", "attempt": 2, "attempts": again})
    now = Scraped(metrics)

    assert now.value("attempts_ended_total", reason="NodeLost", mode="static") == 1
    assert now.values("runs_ended_total") == {}
    assert now.value("attempts_started_total", mode="static") == 1
    assert now.value("claim_latency_seconds_count") == 0


def test_a_flow_that_was_over_before_a_beat_has_a_start_latency_too() -> None:
    """What its runner said of its times tells it."""
    clock = FixedClock(20)
    metrics, run = Metrics(clock), claimed()
    ending = Ending("Succeeded", times={"running": "2026-01-01T00:00:09Z"})
    metrics.wrote(run, finished(run, ending, clock.now()))

    assert Scraped(metrics).value("start_latency_seconds_sum", mode="static") == 9


def claimed(**status: Any) -> FlowRun:
    """Return a run whose first attempt has been claimed."""
    attempts = [{"attempt": 1, "startTime": "2026-01-01T00:00:00Z"}]
    whole = {"phase": "Starting", "attempt": 1, "mode": "static", "attempts": attempts, **status}
    meta = {"name": "a", "namespace": "ns", "uid": UID}
    return FlowRun.parse({"metadata": meta, "spec": {"command": ["true"]}, "status": whole})


async def test_calls_of_runners_are_counted_where_they_come_in() -> None:
    """By verb and code; what is no verb does not make a label of its own."""
    async with watched() as stage:
        metrics = stage.agent.metrics
        app = make_app(stage.channel, None, metrics)  # type: ignore[arg-type]
        stage.submit()
        runner = await stage.started()
        for verb in ("beat", "finish", "mystery"):
            await post(app, f"/v1/attempts/{runner.labels['dask-flows.dev/run-uid']}/1/{verb}")
        now = Scraped(metrics)

    assert now.values("channel_calls_total") == {
        (("code", "401"), ("verb", "beat")): 1,
        (("code", "401"), ("verb", "finish")): 1,
        (("code", "404"), ("verb", "other")): 1,
    }
    assert metrics._finishing == {}


async def post(app: web.Application, path: str) -> None:
    """Let the application answer one request, without a socket: time is virtual here."""
    request = make_mocked_request("POST", path, payload=EMPTY_PAYLOAD, app=app)
    match = await app.router.resolve(request)
    request._match_info = match
    await match.handler(request)


async def test_swept_objects_are_counted() -> None:
    """An alert on them tells that something did not clean up after itself."""
    async with watched() as stage:
        stage.api.add(CONFIG_MAPS, left_over("lost"))
        await stage.until(lambda: stage.left() == [], 700)
        now = read(stage)

    assert now.value("swept_objects_total", resource="configmaps") == 1


async def test_a_scrape_walks_over_no_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand finished ones stay in the cluster: it must cost no more with them than without."""
    async with watched() as stage:
        for number in range(1000):
            stage.agent.cache.runs.assume(finished_run(number))
        await stage.until(lambda: len(stage.agent.queue) == 0)

        def walk(_: object) -> Any:
            raise AssertionError("a scrape went through all objects")

        monkeypatch.setattr(Informer, "__iter__", walk)
        now = read(stage)
        monkeypatch.undo()

    assert now.value("runs", phase="Succeeded", reason="") == 1000


async def test_two_agents_of_one_process_do_not_share_numbers() -> None:
    """Nothing is registered globally."""
    async with watched() as one, watched("static") as two:
        one.submit()
        await one.started()
        assert read(one).value("attempts_started_total", mode="ephemeral") == 1
        assert read(two).values("attempts_started_total") == {}


async def test_the_documentation_lists_every_metric_and_no_other() -> None:
    """With its type and labels; process and Python metrics are named together."""
    async with watched() as stage:
        expose_process(stage.agent.metrics.registry, "1")
        found = set()
        for family in stage.agent.metrics.registry.collect():
            if family.name.startswith("dask_flows_"):
                assert family.documentation.endswith(".")
                full = f"{family.name}_total" if family.type == "counter" else family.name
                found.add((full, "gauge" if family.type == "info" else family.type))
        others = {f.name.split("_")[0] for f in stage.agent.metrics.registry.collect()}

    rows = re.findall(r"^\| `(dask_flows_\w+)` \| (\w+) \|", DOCS.read_text(), re.MULTILINE)
    assert {(name.removesuffix("_info"), kind) for name, kind in rows} == found
    assert len(rows) == len(set(rows))
    assert others == {"dask", "process", "python"}
    assert b"_created" not in scrape(stage.agent.metrics)

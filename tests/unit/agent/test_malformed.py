"""Objects of any shape: what comes from a cluster without a schema stops nobody but itself."""

import asyncio
import copy
import functools
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dask_flows.agent.main import Agent
from dask_flows.agent.observed import Observed
from dask_flows.agent.state import decide
from dask_flows.agent.views import JobView, PodView, RunView
from dask_flows.flowrun import TERMINAL
from dask_flows.kube.resources import FLOWRUNS
from fakes.api import FakeApi
from fakes.clock import START, FixedClock
from fakes.stage import playing
from samples import agent_config, flow_run_data

CRD = Path(__file__).parents[3] / "charts/dask-flows/crds/flowruns.yaml"
FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ODD: list[Any] = [
    None, True, -1, 2**70, 0.5, "", "x", "9" * 5000, [], [None], ["x"], [5], [[]], [{}], {},
    {"x": 1}, {"": None},
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=5,
)


@functools.cache
def schema() -> dict[str, Any]:
    """Return the schema of the CRD."""
    versions = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    found: dict[str, Any] = versions[0]["schema"]["openAPIV3Schema"]["properties"]
    return found


def like(part: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return values that are mostly what a schema says, and sometimes anything."""
    return st.one_of(_as_said(part), _as_said(part), _as_said(part), st.sampled_from(ODD), JSON)


def _as_said(part: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "enum" in part:
        return st.sampled_from(part["enum"])
    if "properties" in part:
        fields = {key: like(value) for key, value in part["properties"].items()}
        return st.fixed_dictionaries({}, optional=fields)
    if part.get("type") == "array":
        return st.lists(like(part["items"]), max_size=3)
    if part.get("format") == "date-time":
        return st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "yesterday"])
    plain: dict[str | None, st.SearchStrategy[Any]] = {
        "object": st.dictionaries(st.text(max_size=6), JSON, max_size=3),
        "integer": st.integers(-1, 10),
        "boolean": st.booleans(),
        "string": st.sampled_from(["a.b:c", "x", "uid-1", "static", "CleanedUp", "True"]),
    }
    return plain.get(part.get("type"), JSON)


def flow_runs() -> st.SearchStrategy[dict[str, Any]]:
    """Return FlowRuns that a server without a schema might hold."""
    keys = ["generation", "labels", "annotations", "deletionTimestamp", "managedFields"]
    meta = st.fixed_dictionaries({}, optional={key: st.sampled_from(ODD) for key in keys})
    parts = st.fixed_dictionaries(
        {"spec": like(schema()["spec"]), "status": like(schema()["status"]), "meta": meta}
    )
    return parts.map(
        lambda p: {
            **flow_run_data(),
            "spec": p["spec"],
            "status": p["status"],
            "metadata": {**flow_run_data()["metadata"], **p["meta"]},
        }
    )


@FUZZ
@given(obj=flow_runs())
def test_every_flow_run_has_a_view_that_can_be_decided_on(obj: dict[str, Any]) -> None:
    """Row 28: whatever its spec and status hold; and no status makes an unclaimed run look claimed."""
    view = RunView.of(obj)
    seen = Observed(
        run=view.run,
        invalid=view.invalid,
        job=None,
        runners=(),
        dask=(),
        plan=None,
        start_deadline=600,
        job_seen=False,
        runner_seen=False,
    )
    decide(seen, START)

    status = obj["status"] if isinstance(obj["status"], dict) else {}
    assert view.run.phase in (status.get("phase"), "Pending")
    assert bool(view.invalid) or view.run.phase == (status.get("phase") or "Pending")


@FUZZ
@given(obj=flow_runs())
async def test_the_agents_own_books_take_every_flow_run(obj: dict[str, Any]) -> None:
    """Row 28: nobody who follows the FlowRuns fails for one of them."""
    agent = Agent(FakeApi(FixedClock()), agent_config(), FixedClock())
    failed: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = failed.append  # type: ignore[method-assign]
    handler.setLevel(logging.WARNING)
    logging.getLogger("dask_flows").addHandler(handler)
    try:
        agent.cache.runs.assume(obj)
        agent.cache.runs.assume(_with(obj, ("metadata", "resourceVersion"), "2"))
    finally:
        logging.getLogger("dask_flows").removeHandler(handler)

    assert [record.getMessage() for record in failed] == []
    assert len(agent.cache.runs) == 1


def _with(obj: Any, path: tuple[Any, ...], value: Any) -> Any:
    new = copy.deepcopy(obj)
    target = new
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return new


def _paths(obj: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = obj.items() if isinstance(obj, dict) else enumerate(obj)
    for key, value in children:
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from _paths(value, (*at, key))


META = {
    "name": "n",
    "namespace": "ns",
    "uid": "u",
    "resourceVersion": "7",
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "labels": {
        "dask-flows.dev/run": "r",
        "dask-flows.dev/run-uid": "ru",
        "dask-flows.dev/attempt": "2",
        "app.kubernetes.io/component": "runner",
    },
    "annotations": {"dask-flows.dev/token-sha256": "t", "dask-flows.dev/next-worker": "3"},
    "ownerReferences": [{"uid": "o", "controller": True}],
}
JOB = {
    "metadata": META,
    "spec": {"ttlSecondsAfterFinished": 5},
    "status": {"conditions": [{"type": "Complete", "status": "True"}]},
}
POD = {
    "metadata": META,
    "spec": {
        "nodeName": "node",
        "activeDeadlineSeconds": 1,
        "containers": [{"name": "runner", "image": "i", "resources": {"limits": {"memory": "1Gi"}}}],
    },
    "status": {
        "phase": "Failed",
        "reason": "Evicted",
        "message": "m",
        "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "x"}],
        "initContainerStatuses": [{"name": "i", "state": {"waiting": {"reason": "x"}}}],
        "containerStatuses": [
            {"name": "runner", "state": {"terminated": {"exitCode": 1}},
             "lastState": {"terminated": {"exitCode": 2}}}
        ],
    },
}  # fmt: skip
IDENTITY = {("metadata",), ("metadata", "name"), ("metadata", "uid")}


@pytest.mark.parametrize(("kind", "good"), [(JobView, JOB), (PodView, POD)])
def test_jobs_and_pods_have_a_view_whatever_a_field_holds(kind: Any, good: Any) -> None:
    """Row 28: any field of any type; only without name or UID there is nothing to hold."""
    for path in _paths(good):
        for odd in ODD:
            if path in IDENTITY:
                if not (path[-1] != "metadata" and isinstance(odd, str) and odd):
                    with pytest.raises(ValueError, match="metadata without"):
                        kind.of(_with(good, path, odd))
                continue
            view = kind.of(_with(good, path, odd))
            hash((view.name, view.uid, view.run, view.run_uid, view.attempt, view.created))
            if isinstance(view, PodView):
                _ = view.ended, view.begun, view.termination
            json.dumps(view.attempt)


BAD: dict[str, dict[str, Any]] = {
    "no-spec": {"spec": None},
    "spec-of-text": {"spec": "x"},
    "unknown-field": {"spec": {"flow": "a.b:c", "podSpec": {}}},
    "env-of-texts": {"spec": {"flow": "a.b:c", "env": ["x"]}},
    "labels-of-numbers": {"spec": {"flow": "a.b:c", "labels": {"a": 1}}},
    "command-of-numbers": {"spec": {"command": [1]}},
    "resources-of-text": {"spec": {"flow": "a.b:c", "resources": {"limits": "much"}}},
    "negative-number": {"spec": {"flow": "a.b:c", "workers": {"replicas": -5}}},
    "phase-of-number": {"status": {"phase": 5}},
    "phase-unknown": {"status": {"phase": "Dancing", "attempt": 1}},
    "attempt-of-text": {"status": {"phase": "Starting", "attempt": "one"}},
    "started-by-list": {"status": {"phase": "Running", "attempt": 1, "startedBy": ["p"]}},
}
HARMLESS: dict[str, dict[str, Any]] = {
    "null-status": {"status": None},
    "status-of-text": {"status": "x"},
    "null-conditions": {"status": {"conditions": None, "attempts": 5}},
    "odd-conditions": {"status": {"conditions": ["x", {"type": "CleanedUp"}, None]}},
    "unknown-version": {"apiVersion": "dask-flows.dev/v9", "kind": "FlowRan"},
    "hostile-labels": {
        "labels": {"dask-flows.dev/run": "other", "dask-flows.dev/attempt": "9" * 50},
        "annotations": {"x": "y" * 1_000_000},
    },
}


@pytest.mark.looptime
async def test_bad_flow_runs_are_marked_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Row 28: each bad one ends with InvalidSpec and a message; the good ones and the odd run."""
    async with playing("ephemeral") as stage:
        for name, parts in (BAD | HARMLESS).items():
            meta = {k: parts[k] for k in ("labels", "annotations") if k in parts}
            whole = {k: v for k, v in parts.items() if k not in meta}
            stage.api.add(
                FLOWRUNS,
                {
                    "apiVersion": "dask-flows.dev/v1alpha1",
                    "kind": "FlowRun",
                    "spec": {"flow": "a.b:c"},
                    **whole,
                    "metadata": {"name": name, **meta},
                },
            )
        stage.submit("good")
        for name in ("good", *HARMLESS):
            runner = await stage.started(name)
            await runner.finish(stage.channel)
            await stage.until(lambda name=name: stage.phase(name) == "Succeeded")  # type: ignore[misc]
        for name in BAD:
            await stage.until(lambda name=name: stage.phase(name) in _ends(), 30)  # type: ignore[misc]
            assert stage.phase(name) == "Failed/InvalidSpec", name
            assert stage.status(name)["message"], name
        await asyncio.sleep(20)  # what the good ones made goes
        asked = len(stage.api.requests)
        await asyncio.sleep(60)

        assert len(stage.api.requests) - asked < 66
        assert not [r for r in caplog.records if r.exc_info]


def _ends() -> set[str]:
    return {f"{phase}{reason}" for phase in TERMINAL for reason in ("", "/InvalidSpec")}

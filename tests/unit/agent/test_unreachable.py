"""A runner on a node that does not answer: nothing replaces it until it is known to be dead."""

import asyncio
from typing import Any

import pytest

from dask_flows.agent.unreachable import unreachable
from dask_flows.agent.views import PodView
from dask_flows.kube.resources import PODS
from fakes.clock import START
from fakes.runner import FakeRunner
from fakes.stage import Stage, playing

READY = {"type": "Ready", "status": "False"}
LOST = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
LONG_AGO, NOW = "2025-12-31T23:59:00Z", "2026-01-01T00:00:00Z"


def pod(*conditions: dict[str, Any], deleted: str = "", ready: bool = True, **status: Any) -> Any:
    """Return a runner's pod as the API server has it."""
    deletion = {"deletionTimestamp": deleted} if deleted else {}
    containers = [{"name": "runner", "ready": ready, "state": {"running": {}}}]
    return {
        "metadata": {"name": "p", "uid": "u", **deletion},
        "spec": {"nodeName": "node-7", "containers": [{"name": "runner"}]},
        "status": {
            "phase": "Running",
            "conditions": list(conditions),
            "containerStatuses": containers,
            **status,
        },
    }


CASES: list[tuple[str, Any, bool]] = [
    ("runs", pod(), False),
    ("not ready yet", pod(READY, ready=False), False),
    ("marked unready while its containers are ready", pod(READY), True),
    ("marked with a reason", pod({**READY, "reason": "NodeLost"}, ready=False), True),
    ("named lost", pod(reason="NodeLost"), True),
    ("phase unknown", pod(phase="Unknown"), True),
    ("deleted by the taint manager", pod(LOST, deleted=NOW), True),
    ("deleted just now", pod(deleted=NOW), False),
    ("deleted long ago", pod(deleted=LONG_AGO), True),
    ("evicted by somebody", pod({**LOST, "reason": "EvictionByEvictionAPI"}, deleted=NOW), False),
    ("ended", pod(LOST, deleted=LONG_AGO, phase="Failed"), False),
    ("its container ended",
     pod(LOST, deleted=LONG_AGO, containerStatuses=[{"name": "runner", "state": {"terminated": {"exitCode": 1}}}]),
     False),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "cut_off"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_whether_a_pod_is_cut_off_is_read_from_the_pod(obj: Any, cut_off: bool) -> None:
    """The agent may not read nodes."""
    obj["metadata"]["labels"] = {"app.kubernetes.io/component": "runner"}
    found = unreachable([PodView.of(obj)], START)

    assert (found is not None) == cut_off
    assert found is None or "node-7" in found.message


async def cut_off(stage: Stage, runner: FakeRunner) -> None:
    """Let the node of a runner fall silent, as Kubernetes shows it after 40 s."""
    stage.nodes.cut_off.add(runner.pod)
    state = {"name": "runner", "image": "x", "ready": True, "state": {"running": {}}}
    stage.api.change(
        PODS, runner.pod, {"status": {"conditions": [READY], "containerStatuses": [state]}}
    )
    await stage.until(lambda: stage.condition("NodeUnreachable"))


@pytest.mark.looptime
@pytest.mark.parametrize("mode", ["static", "ephemeral"])
@pytest.mark.parametrize("restart", [False, True], ids=["same-agent", "new-agent"])
async def test_nothing_replaces_a_pod_before_it_is_dead(mode: str, *, restart: bool) -> None:
    """Row 11: NodeUnreachable, no second pod; when the pod is gone: NodeLost and a new attempt."""
    async with playing(mode) as stage:
        stage.submit()
        runner = await stage.started()
        await cut_off(stage, runner)
        assert "kubectl delete node" in stage.condition("NodeUnreachable")["message"]  # type: ignore[index]
        stage.api.remove(PODS, "ns", runner.pod)  # the taint manager: it only marks it
        await asyncio.sleep(600)

        assert stage.phase() == "Running"
        assert len(stage.jobs()) == 1
        if restart:
            await stage.kill_agent()
        stage.nodes.cut_off.clear()
        stage.api.remove(PODS, "ns", runner.pod, grace=0)
        if restart:
            await stage.restart()
        await stage.until(lambda: stage.phase() == "Pending/NodeLost")
        assert f"does not answer (pod {runner.pod}); attempt 2" in stage.status()["message"]
        await (await stage.started()).finish(stage.channel)
        assert stage.phase() == "Succeeded"
        assert [a["reason"] for a in stage.status()["attempts"]] == ["NodeLost", "Succeeded"]


@pytest.mark.looptime
async def test_a_node_that_comes_back_is_forgiven() -> None:
    """The run went on all the time."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.started()
        await cut_off(stage, runner)
        stage.api.change(PODS, runner.pod, {"status": {"conditions": []}})
        await stage.until(lambda: not stage.condition("NodeUnreachable"))
        await runner.finish(stage.channel)

        assert stage.phase() == "Succeeded"


@pytest.mark.looptime
async def test_a_pod_that_stays_after_its_grace_period_is_noticed() -> None:
    """Nothing changes then, so the agent has to look by itself."""
    async with playing("static") as stage:
        stage.submit()
        runner = await stage.started()
        stage.nodes.cut_off.add(runner.pod)
        stage.api.remove(PODS, "ns", runner.pod)
        await stage.until(lambda: stage.condition("NodeUnreachable"), 60)

        assert stage.phase() == "Running"


@pytest.mark.looptime
async def test_cancel_of_a_run_on_a_silent_node_waits_for_the_pod() -> None:
    """Cancelled means that nothing of it runs; until then the condition says who is waited for."""
    async with playing() as stage:
        stage.submit()
        runner = await stage.started()
        await cut_off(stage, runner)
        stage.edit(cancel=True)
        await asyncio.sleep(100)

        assert stage.phase() == "Running"
        stage.api.remove(PODS, "ns", runner.pod, grace=0)
        await stage.cleaned()
        assert stage.phase() == "Cancelled/Cancelled"
        assert not stage.condition("NodeUnreachable")

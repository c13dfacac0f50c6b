"""Rules of the FlowRun schema, asked of a real API server: it alone evaluates the chart's CEL rules."""

import secrets
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import yaml

from kube import Kube, kubectl
from release import CHART

CASES = yaml.safe_load((Path(__file__).parents[1] / "data" / "flowruns.yaml").read_text())
# As kubectl asks: unknown fields are errors, not dropped.
STRICT = "?fieldValidation=Strict"


@pytest.fixture(scope="module", autouse=True)
def crds(api: Kube) -> None:
    """Install the schema under test."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CHART / "crds"))
    kubectl("wait", "--for=condition=Established", "crd/flowruns.dask-flows.dev", "--timeout=30s")


def flow_run(spec: dict[str, Any], name: str = "") -> dict[str, Any]:
    """Return a FlowRun that nobody else has."""
    return {
        "apiVersion": "dask-flows.dev/v1alpha1",
        "kind": "FlowRun",
        "metadata": {"name": name or f"case-{secrets.token_hex(4)}"},
        "spec": spec,
    }


def ask(kube: Kube, method: str, path: str, body: dict[str, Any], *, dry: bool) -> str:
    """Return what the server says against it; empty if it agrees."""
    try:
        kube.request(method, path + STRICT + ("&dryRun=All" if dry else ""), body)
    except urllib.error.HTTPError as error:
        if error.code in (400, 422):
            return error.msg
        raise
    return ""


@pytest.mark.parametrize("case", CASES["admitted"])
def test_what_is_right_is_admitted(shared: Kube, case: str) -> None:
    """And stored as it was sent: nothing is pruned."""
    spec = CASES["admitted"][case]

    made = shared.request("POST", shared.path("flowruns") + STRICT, flow_run(spec))

    assert made["spec"] == spec


@pytest.mark.parametrize("case", CASES["refused"])
def test_what_is_wrong_is_refused_with_the_reason(shared: Kube, case: str) -> None:
    """The message names the field or says what to do."""
    row = CASES["refused"][case]

    assert row["says"] in ask(
        shared, "POST", shared.path("flowruns"), flow_run(row["spec"]), dry=True
    )


@pytest.mark.parametrize("case", CASES["changes"])
def test_a_request_does_not_change(shared: Kube, case: str) -> None:
    """Except suspend, cancel (not back) and deadlineSeconds."""
    row = CASES["changes"][case]
    made = shared.create("flowruns", flow_run(row["from"]))
    path = shared.path("flowruns", made["metadata"]["name"])

    answer = ask(shared, "PUT", path, {**made, "spec": row["to"]}, dry=True)

    assert (row["says"] in answer) if "says" in row else answer == ""


@pytest.mark.parametrize(("length", "answer"), [(52, ""), (53, "at most 52 characters")])
def test_names_leave_room_for_what_is_made_from_them(
    shared: Kube, length: int, answer: str
) -> None:
    """Jobs and Services carry the name; labels hold it."""
    said = ask(
        shared, "POST", shared.path("flowruns"), flow_run({"flow": "a:b"}, "x" * length), dry=True
    )

    assert (answer in said) if answer else said == ""


@pytest.mark.parametrize("sizes", [[65536], [40000, 25536]])
def test_files_may_hold_64_kib_together(shared: Kube, sizes: list[int]) -> None:
    """One byte more is refused with the way out."""
    path = shared.path("flowruns")

    def said(extra: int) -> str:
        files = [{"path": f"f{n}", "content": "x" * size} for n, size in enumerate(sizes)]
        files.append({"path": "last", "content": "x" * extra})
        return ask(
            shared, "POST", path, flow_run({"flow": "a:b", "source": {"files": files}}), dry=True
        )

    assert said(0) == ""
    assert "use source.configMap" in said(1)


@pytest.mark.parametrize("result", [1, 1.5, "text", True, [1, None], {"a": {"b": 1}}])
def test_status_keeps_what_the_agent_writes(shared: Kube, result: Any) -> None:
    """Any JSON as result; every documented field is stored."""
    name = shared.create("flowruns", flow_run({"flow": "a:b"}))["metadata"]["name"]
    now = "2026-01-01T00:00:00Z"
    attempt = {"attempt": 1, "jobName": "j", "clusterName": "c", "mode": "static", "startTime": now,
               "runningTime": now, "finishTime": now, "reason": "FlowFailed", "message": "m", "exitCode": 1, "workers": 2}  # fmt: skip
    condition = {"type": "SettingsIgnored", "status": "True", "reason": "Mode", "message": "m",
                 "lastTransitionTime": now, "observedGeneration": 1}  # fmt: skip
    status = {
        "phase": "Failed", "reason": "FlowFailed", "message": "m", "mode": "static", "attempt": 1, "jobName": "j",
        "clusterName": "c", "schedulerAddress": "tcp://x:1", "dashboardAddress": "http://x", "workers": 2,
        "startedBy": "uid", "startTime": now, "runningTime": now, "finishTime": now, "exitCode": 1,
        "retryTime": now, "retries": {"limit": 1, "infrastructure": 0},
        "result": result, "attempts": [attempt], "conditions": [condition], "observedGeneration": 1,
    }  # fmt: skip

    shared.patch("flowruns", name, {"status": status}, sub="status")

    assert shared.run_status(name) == status

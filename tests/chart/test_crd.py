"""Rules of the FlowRun schema that need no API server; ``tests/cluster/test_flowrun_api.py`` asks one."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import latest_version

from chart.render import CHART
from dask_flows.agent import status
from dask_flows.agent.retrying import Retry, Used
from dask_flows.agent.verdict import Ending
from dask_flows.diagnose import Diagnosis
from dask_flows.flowrun import CLAIMED, PENDING, SUSPENDED, TERMINAL, FlowRun

CRD = yaml.safe_load((CHART / "crds" / "flowruns.yaml").read_text())
VERSION = CRD["spec"]["versions"][0]
ROOT = VERSION["schema"]["openAPIV3Schema"]
SPEC, STATUS = ROOT["properties"]["spec"], ROOT["properties"]["status"]
CASES = yaml.safe_load((Path(__file__).parents[1] / "data" / "flowruns.yaml").read_text())
CHANGEABLE = {"suspend", "cancel", "deadlineSeconds"}


def nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema below one, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from nodes(schema[key], path + mark)


def test_the_definition_is_valid() -> None:
    """Strictly, for the newest version that the validator knows."""
    kubernetes_validate.validate(CRD, latest_version(), strict=True)


def test_every_field_is_described() -> None:
    """``kubectl explain`` is the reference that everybody has."""
    silent = [
        p
        for p, node in nodes(ROOT, "flowrun")
        if not p.endswith(("[]", "{}")) and not node.get("description")
    ]

    assert silent == ["flowrun.metadata"]


def test_everything_in_spec_is_limited() -> None:
    """The API server refuses rules whose cost it cannot bound, and users cannot fill etcd."""
    limits = {"string": "maxLength", "array": "maxItems", "integer": "maximum"}
    for path, node in nodes(SPEC, "spec"):
        if node.get("type") in limits and "enum" not in node:
            assert limits[node["type"]] in node, path
        if node.get("type") == "object" and "properties" not in node:
            assert "maxProperties" in node, path


def test_every_field_of_spec_has_a_rule_that_keeps_it() -> None:
    """A field that is added later cannot be forgotten."""
    rules = {
        rule.get("fieldPath", "").lstrip(".")
        for rule in SPEC["x-kubernetes-validations"]
        if "oldSelf" in rule["rule"]
    }

    assert SPEC["properties"].keys() - rules == CHANGEABLE - {"cancel"}


def test_rules_say_what_to_do() -> None:
    """The API server's own text would be the expression."""
    for path, node in nodes(ROOT, "flowrun"):
        for rule in node.get("x-kubernetes-validations", []):
            assert rule["message"], path


@pytest.mark.parametrize("case", CASES["admitted"])
def test_python_reads_what_the_schema_admits(case: str) -> None:
    """No field is known to one side only."""
    run = {
        "metadata": {"name": "n", "namespace": "ns", "uid": "u"},
        "spec": CASES["admitted"][case],
    }

    assert FlowRun.parse(run).name == "n"


def test_the_case_with_everything_has_every_field() -> None:
    """So that the test above is about all of them."""
    given = CASES["admitted"]["everything"]

    assert SPEC["properties"].keys() - given.keys() == {"command"}


def test_phases_are_the_agents() -> None:
    """A phase that the schema does not know could not be written."""
    assert set(STATUS["properties"]["phase"]["enum"]) == {*TERMINAL, *CLAIMED, PENDING, SUSPENDED}


def test_everything_the_agent_writes_is_stored() -> None:
    """The API server drops fields of status that it does not know, without a word."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    run = FlowRun.parse(
        {"metadata": {"name": "n", "namespace": "ns", "uid": "u"}, "spec": {"flow": "a:b"}}
    )
    patches = [status.claimed(run, "ephemeral", ["x"], now), status.started("u", "tcp://x:1", None)]
    run = replace(run, status=patches[0])
    ending = Ending("Failed", "FlowFailed", "m", 1, None, 2, {"running": "2026-01-01T00:00:00Z"})
    patches += [
        status.progressed(run, True, 2, now),
        status.finished(run, ending, now),
        status.retried(run, ending, Retry(now, Used(1, 2)), now),
        status.suspended(run, ending, now),
        status.too_late(run, ending, 60, now),
        status.unreachable(run, Diagnosis("NodeUnreachable", "m"), now),
        {"result": 1},
    ]

    for patch in patches:
        assert patch.keys() <= STATUS["properties"].keys()
        for field in ("attempts", "conditions"):
            known = STATUS["properties"][field]["items"]["properties"].keys()
            assert all(entry.keys() <= known for entry in patch.get(field, []))
        assert (
            patch.get("retries", {}).keys() <= STATUS["properties"]["retries"]["properties"].keys()
        )


def test_kubectl_shows_what_one_asks_first() -> None:
    """Phase, mode, attempt, workers, age and the reason, which may be long, last."""
    columns = [
        column["name"]
        for column in VERSION["additionalPrinterColumns"]
        if not column.get("priority")
    ]

    assert columns == ["Phase", "Mode", "Attempt", "Workers", "Age", "Reason"]
    assert VERSION["subresources"] == {"status": {}}


@pytest.mark.parametrize(
    ("flow", "right"),
    [
        ("module:name", True), ("package.module:name", True), ("_p.m1:_n", True),
        ("flow.py:main", True), ("path/to/my-flow.py:main", True), ("/app/flow.py:main", True),
        ("module", False), ("module:", False), (":name", False), ("module:a.b", False), ("module:f()", False),
        ("mod ule:name", False), ("1module:name", False), ("a..b:name", False), ("../flow.py:main", False),
        ("a/../flow.py:main", False), ("./flow.py:main", False), ("a/flow.sh:main", False), ("a:b\n", False),
        ("flow.py:main;true", False), ("$(x):name", False), ("päckage:name", False), ("//x.py:main", False),
    ],
)  # fmt: skip
def test_a_flow_is_a_module_or_a_file_and_a_name(flow: str, right: bool) -> None:
    """Nothing in it means something to a shell, and it never leaves its folder."""
    # Go's $ is the end of the text, Python's also stands before a last newline.
    pattern = SPEC["properties"]["flow"]["pattern"].replace("$", r"\Z")

    assert (re.search(pattern, flow) is not None) is right

"""Rules of the files between chart, agent and runner: complete, typed, and nothing unknown."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dask_flows.config import AgentConfig, AttemptSpec, Environment, load_agent_config, load_attempt
from dask_flows.errors import ConfigError
from samples import config_data, flow_run, inputs


def test_what_the_chart_writes_is_read(tmp_path: Path) -> None:
    """The file is YAML; the values arrive typed."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_data("static")))

    config = load_agent_config(path)

    assert config.mode == "static"
    assert config.static is not None
    assert config.static.address == "tcp://s:8786"
    assert config.runs.deadline is None


BAD = [
    ({"mode": "cloud"}, "mode"),
    ({"mode": None}, "mode is missing"),
    ({"surprise": 1}, "unknown field surprise"),
    ({"release": {"name": "r"}}, "release.namespace is missing"),
    ({"release": {"name": 1}}, "release.name is a int"),
    ({"channel": {"url": "u", "port": "8700"}}, "channel.port is a str"),
    ({"channel": {"url": "u", "port": True}}, "channel.port is a bool"),
    ({"channel": {"url": "u", "port": 1, "tls": 1}}, "unknown field channel.tls"),
    ({"runs": {"startDeadlineSeconds": 1, "deadlineSeconds": "x"}}, "runs.deadlineSeconds"),
    ({"templates": {"runner": {}, "sidecar": {}}}, "unknown field templates.sidecar"),
    ({"templates": {}}, "templates.runner is missing"),
    ({"labels": ["a"]}, "labels is a list"),
    ({"limits": {"maxConcurrentRuns": "many"}}, "limits.maxConcurrentRuns is a str"),
    ({"limits": {"perSecond": 1}}, "unknown field limits.perSecond"),
    ({"profiles": {"a": {"runs": {}}}}, "profiles.a.runs.startDeadlineSeconds is missing"),
    ({"profiles": {"a": 1}}, "profiles.a is a int"),
    ({"allowModeOverride": "yes"}, "allowModeOverride is a str"),
    ({"ephemeral": {"networkPolicy": {}}}, "ephemeral.networkPolicy.enabled is missing"),
    (
        {"ephemeral": {"networkPolicy": {"enabled": True, "egress": []}}},
        "unknown field ephemeral.networkPolicy.egress",
    ),
    (
        {"ephemeral": {"networkPolicy": {"enabled": True, "dashboardFrom": ["all"]}}},
        "ephemeral.networkPolicy.dashboardFrom[0] is a str",
    ),
]


@pytest.mark.parametrize(("change", "complaint"), BAD, ids=[b[1] for b in BAD])
def test_each_mistake_is_named_with_its_path(change: dict[str, Any], complaint: str) -> None:
    """A person can find the field in the file."""
    with pytest.raises(ConfigError) as caught:
        AgentConfig.parse(config_data(**change) | change)

    assert complaint in str(caught.value)


PEERS = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
POLICIES: list[tuple[dict[str, Any], list[dict[str, Any]] | None]] = [
    ({}, None),  # of an older chart
    ({"networkPolicy": {"enabled": False, "dashboardFrom": PEERS}}, None),
    ({"networkPolicy": {"enabled": True, "dashboardFrom": []}}, []),
    ({"networkPolicy": {"enabled": True, "dashboardFrom": PEERS}}, PEERS),
]


@pytest.mark.parametrize(("given", "policy"), POLICIES)
def test_clusters_have_a_policy_if_the_configuration_says_so(
    given: dict[str, Any], policy: list[dict[str, Any]] | None
) -> None:
    """A configuration that says nothing of it means none."""
    assert AgentConfig.parse(config_data(ephemeral=given)).ephemeral.network_policy == policy


@pytest.mark.parametrize("text", ["", "- a\n", "{", "a: [", "5"])
def test_a_file_that_is_no_mapping_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    """The message says which file."""
    path = tmp_path / "config.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=r"config\.yaml"):
        load_agent_config(path)


@pytest.mark.parametrize("mode", ["static", "ephemeral", "local"])
def test_the_runner_reads_what_the_agent_writes(tmp_path: Path, mode: str) -> None:
    """The attempt's Secret, mounted as files, is the whole contract."""
    for key, text in inputs(mode, flow_run(parameters={"n": 3})).items():
        (tmp_path / key).write_text(text)

    spec = load_attempt(tmp_path)

    assert (spec.run, spec.mode, spec.flow) == ("diamond", mode, "flow.py:diamond")
    assert spec.parameters == {"n": 3}


def test_an_attempt_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    """No bare traceback for a missing or broken file."""
    with pytest.raises(ConfigError):
        load_attempt(tmp_path)

    (tmp_path / "attempt.json").write_text(json.dumps({"run": 1}))
    (tmp_path / "parameters.json").write_text("[]")
    with pytest.raises(ConfigError):
        load_attempt(tmp_path)


def test_parameters_must_be_an_object() -> None:
    """A list has no names to pass."""
    attempt = json.loads(inputs("local", flow_run())["attempt.json"])

    with pytest.raises(ConfigError, match="parameters"):
        AttemptSpec.parse(attempt, [1])


def test_the_environment_is_read_in_one_place() -> None:
    """Only these variables mean something to us; an empty NO_COLOR does not."""
    assert Environment.read({}) == Environment()
    assert Environment.read({"NO_COLOR": ""}).no_color is False
    assert Environment.read({"NO_COLOR": "1", "DASK_FLOWS_POD_UID": "u"}) == Environment(
        pod_uid="u", no_color=True
    )

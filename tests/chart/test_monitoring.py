"""Rules of what watches a release: off unless asked for, and then of the right release."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.pods import container_of, flag
from chart.render import CHART, ROOT, RenderError, merge, render, values
from dask_flows import __version__
from dask_flows.agent.heartbeat import BLOCKED, LOOK
from dask_flows.agent.main import Options
from dask_flows.cli import main

KINDS = {"serviceMonitor": "ServiceMonitor", "alerts": "PrometheusRule", "dashboard": "ConfigMap"}
ALL = {"monitoring": {part: {"enabled": True} for part in KINDS}}
AGENT = "Deployment/r-dask-flows-agent"
DOCS = ROOT / "docs" / "how-to" / "monitoring.md"


def made(**monitoring: Any) -> list[dict[str, Any]]:
    """Return the objects that these settings add."""
    plain = render(values()).kinds()
    rendered = render(values(monitoring=monitoring))
    return [o for o in rendered.objects if (o["kind"], o["metadata"]["name"]) not in plain]


def test_nothing_is_made_unless_asked_for() -> None:
    """A cluster without the Prometheus operator refuses its kinds."""
    kinds = {kind for kind, _ in render(values()).kinds()}
    assert not kinds & {"ServiceMonitor", "PrometheusRule", "PodMonitor"}
    assert ("ConfigMap", "r-dask-flows-dashboard") not in render(values()).kinds()


@pytest.mark.parametrize("part", KINDS)
def test_each_part_is_made_alone(part: str) -> None:
    """With the labels that a Prometheus or a Grafana selects by; ours stay."""
    (one,) = made(**{part: {"enabled": True, "labels": {"release": "p", "helm.sh/chart": "x"}}})

    assert one["kind"] == KINDS[part]
    assert one["metadata"]["namespace"] == "ns"
    assert one["metadata"]["labels"]["release"] == "p"
    assert one["metadata"]["labels"]["helm.sh/chart"].startswith("dask-flows-")


@pytest.mark.parametrize("part", KINDS)
def test_releases_of_one_name_can_share_a_namespace_for_monitoring(part: str) -> None:
    """Their objects there are told apart by the releases' namespaces."""
    (one,) = made(**{part: {"enabled": True, "namespace": "monitoring"}})

    assert one["metadata"]["namespace"] == "monitoring"
    assert one["metadata"]["name"].startswith("ns-r-dask-flows")
    assert len(one["metadata"]["name"]) <= 253


def test_the_service_monitor_finds_the_agent_s_service_and_no_other() -> None:
    """Also from another namespace."""
    rendered = render(
        values(monitoring={"serviceMonitor": {"enabled": True, "namespace": "m", "interval": "7s"}})
    )
    spec = rendered.one("ServiceMonitor", "-agent")["spec"]
    chosen = spec["selector"]["matchLabels"].items()
    found = [
        o
        for o in rendered.objects
        if o["kind"] == "Service" and chosen <= o["metadata"]["labels"].items()
    ]

    assert [o["metadata"]["name"] for o in found] == ["r-dask-flows-agent"]
    assert spec["namespaceSelector"] == {"matchNames": ["ns"]}
    (endpoint,) = spec["endpoints"]
    assert endpoint == {"port": "metrics", "path": "/metrics", "interval": "7s"}
    assert endpoint["port"] in {port["name"] for port in found[0]["spec"]["ports"]}
    assert spec.keys() == {"namespaceSelector", "selector", "endpoints"}


def test_metrics_have_a_port_of_their_own() -> None:
    """Runners need the channel's port; what concerns others' runs is not on it."""
    rendered = render(values(agent={"metricsPort": 9999}))
    container, service = container_of(rendered, AGENT), rendered.one("Service", "-agent")

    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "http": 8700,
        "metrics": 9999,
    }
    assert {p["name"]: (p["port"], p["targetPort"]) for p in service["spec"]["ports"]} == {
        "http": (8700, "http"),
        "metrics": (9999, "metrics"),
    }
    assert flag(container, "--metrics-port") == "9999"
    assert rendered.config["channel"]["port"] == 8700


@pytest.mark.parametrize("port", [80, 8700, 70000])
def test_a_port_that_cannot_be_is_refused(port: int) -> None:
    """One of the channel, one that needs root, one that does not exist."""
    with pytest.raises(RenderError, match="metricsPort"):
        render(values(agent={"metricsPort": port}))


def test_the_log_s_form_is_a_choice() -> None:
    """Text unless JSON is asked for."""
    assert flag(container_of(render(values()), AGENT), "--log-format") == "text"
    chosen = render(values(agent={"logFormat": "json"}))
    assert flag(container_of(chosen, AGENT), "--log-format") == "json"
    with pytest.raises(RenderError, match="logFormat"):
        render(values(agent={"logFormat": "xml"}))


def test_there_is_one_agent_at_a_time() -> None:
    """One replica, the default, and Recreate: an upgrade never has two at work."""
    spec = render(values()).one("Deployment", "-agent")["spec"]

    assert spec["strategy"] == {"type": "Recreate"}
    assert spec.get("replicas", 1) == 1


def test_the_probes_ask_what_the_agent_answers() -> None:
    """An agent that hangs has the time to log where before it is restarted."""
    container = container_of(render(values()), AGENT)
    live, ready = container["livenessProbe"], container["readinessProbe"]

    assert (live["httpGet"], ready["httpGet"]) == (
        {"path": "/healthz", "port": "http"},
        {"path": "/readyz", "port": "http"},
    )
    assert live["periodSeconds"] * (live["failureThreshold"] - 1) > BLOCKED + LOOK
    assert live["timeoutSeconds"] < live["periodSeconds"]


def rules(**alerts: Any) -> dict[str, dict[str, Any]]:
    """Return the alerts by name."""
    (rule,) = made(alerts={"enabled": True, **alerts})
    (group,) = rule["spec"]["groups"]
    return {one["alert"]: one for one in group["rules"]}


def test_alerts_are_about_this_release_s_agent() -> None:
    """Every series is chosen by namespace and Service; templates of Prometheus stay as they are."""
    for name, rule in rules().items():
        assert rule["expr"].count('{namespace="ns",service="r-dask-flows-agent"') == 1, name
        assert not re.search(r"AGENT|QUEUE_AGE", json.dumps(rule)), name
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert (
        "{{ $labels.reason }}"
        in rules()["DaskFlowsInfrastructureFailures"]["annotations"]["summary"]
    )
    assert rules(queueAgeSeconds=7)["DaskFlowsQueueTooOld"]["expr"].endswith("> 7")


def test_every_alert_is_documented() -> None:
    """With what to do; the page names no alert that does not exist."""
    rows = set(re.findall(r"^\| `(DaskFlows\w+)` \|", DOCS.read_text(), re.MULTILINE))
    assert rows == set(rules())


def test_alerts_and_dashboard_show_metrics_that_exist() -> None:
    """The documentation's table is checked against the agent's registry."""
    files = [CHART / "files" / name for name in ("alerts.yaml", "dashboard.json")]
    used = {m for file in files for m in re.findall(r"dask_flows_\w+", file.read_text())}
    known = set(re.findall(r"^\| `(dask_flows_\w+)` \|", DOCS.read_text(), re.MULTILINE))

    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in used} <= known
    named = set(re.findall(r"reason=~\"([\w|]+)\"", files[0].read_text())[0].split("|"))
    runbooks = {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert named <= runbooks


def test_the_dashboard_is_json_with_a_title_and_ids_of_its_own() -> None:
    """Grafana's sidecar takes a file name from the key, so it must not be another release's."""
    (config_map,) = made(dashboard={"enabled": True})
    ((name, text),) = config_map["data"].items()
    board = json.loads(text)

    assert name == "ns-r-dask-flows-dashboard.json"
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) > 10
    assert all(panel["targets"] and panel["title"] for panel in board["panels"])


def test_no_file_of_the_chart_is_left_out_of_the_package() -> None:
    """What templates read with Files.Get must not be ignored by Helm."""
    ignored = (CHART / ".helmignore").read_text().splitlines()
    assert not {"files/", "*.json", "*.yaml", "alerts.yaml"} & set(ignored)
    rendered = render(merge(values(), ALL))
    assert yaml.safe_load(rendered.files["templates/monitoring/prometheusrule.yaml"])["spec"][
        "groups"
    ]


def test_what_the_chart_says_reaches_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program takes the arguments that the chart renders; the chart cannot ask for a crash."""
    called: list[tuple[Path, Options]] = []

    def serve(path: Path, **options: Any) -> int:
        called.append((path, Options(**options)))
        return 0

    monkeypatch.setattr("dask_flows.agent.serve", serve)
    chosen = {"logFormat": "json", "logLevel": "debug", "metricsPort": 9999}

    assert main(container_of(render(values(agent=chosen)), AGENT)["args"]) == 0
    ((path, options),) = called
    assert path == Path("/etc/dask-flows/config.yaml")
    assert options == Options("debug", "json", 9999, version=__version__)

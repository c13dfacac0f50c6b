"""A release as Prometheus and the kubelet see it: scraped through its Service after one run."""

import json
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

import flows
from kube import Kube, eventually
from release import Release

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(kube: Kube, release: Release) -> Samples:
    """Read /metrics through the Service, as Prometheus does, and return all samples."""
    service = f"{release.fullname}-agent:metrics"
    url = f"{kube.url}/api/v1/namespaces/{kube.namespace}/services/{service}/proxy/metrics"
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def test_one_run_shows_in_metrics_events_and_log(kube: Kube, release: Release) -> None:
    """Counted once everywhere, with real latencies; the log has one JSON line per transition."""
    release.install("local", agent={"logFormat": "json", "metricsPort": 9090})
    flows.inline(kube, "counted", "import time\ndef main(): time.sleep(3); return 1\n")
    assert flows.result(kube.wait_run("counted")) == 1

    def value(name: str, **labels: str) -> float:
        return samples.get((f"dask_flows_{name}", tuple(sorted(labels.items()))), 0.0)

    samples: Samples = {}

    def told_whole() -> bool:
        # The status is seen before its write is answered, and only then the agent counts it.
        nonlocal samples
        samples = scraped(kube, release)
        return value("status_lag_seconds_count") == 1

    eventually(told_whole, 20)
    assert value("runs", phase="Succeeded", reason="") == 1
    assert value("runs_ended_total", outcome="Succeeded", reason="", mode="local") == 1
    assert value("attempts_started_total", mode="local") == 1
    assert value("waiting_runs") == 0
    assert 0 <= value("claim_latency_seconds_sum") < 30
    assert 0 < value("start_latency_seconds_sum", mode="local") < 120
    assert value("channel_calls_total", verb="start", code="200") == 1
    assert value("api_requests_total", verb="create", resource="jobs.batch", code="2xx") == 1
    assert value("relists_total", resource="pods", reason="First") == 1
    assert value("loop_delay_seconds_count") > 1
    assert samples["process_resident_memory_bytes", ()] > 2**20

    text = kube.logs(f"deployment/{release.fullname}-agent")
    lines = [json.loads(line) for line in text.splitlines()]
    path = [(line["from"], line["to"]) for line in lines if line["msg"] == "transition"]
    assert path == [("Pending", "Starting"), ("Starting", "Running"), ("Running", "Succeeded")]

    def told() -> set[str]:
        mine = [e for e in kube.list("events") if e["involvedObject"]["kind"] == "FlowRun"]
        return {event["reason"] for event in mine}

    eventually(lambda: {"Starting", "Running", "Succeeded"} <= told(), 10, lambda: str(told()))

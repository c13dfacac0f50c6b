"""The main path: the same files run on a shared cluster, after one upgrade on their own, and back."""

import re
from typing import Any

import pytest

import flows
import invariants
from flows import OWN_IMAGE, submit
from kube import Kube, eventually, kubectl
from release import Release


@pytest.fixture(scope="module")
def release(shared: Kube) -> Release:
    """One release for the module, in static mode first; its image holds the examples' own modules."""
    release = Release(shared)
    release.install("static", image=OWN_IMAGE)
    return release


def run_examples(kube: Kube, suffix: str) -> dict[str, dict[str, Any]]:
    """Run 01 to 05 one after another; returns each one's final status."""
    requests = {
        **{f"{key}-{suffix}": args for key, args in flows.EXAMPLES.items()},
        f"own-{suffix}": ["own_flows.words:count"],
    }
    for name, args in requests.items():
        submit(kube, *args, name=name)
        kube.wait_run(name, timeout=240)
    return {name: kube.run_status(name) for name in requests}


def pods(kube: Kube, component: str) -> set[str]:
    """Return the names of the pods of a component."""
    return {
        p["metadata"]["name"] for p in kube.list("pods", f"app.kubernetes.io/component={component}")
    }


def check_answers(statuses: dict[str, dict[str, Any]], workers: str = "") -> None:
    """Every run succeeded, with its answer, and its tasks ran in Dask workers, not in the runner.

    Without ``workers`` these are the pods of the run's own cluster.
    """
    for name, status in statuses.items():
        assert status["phase"] == "Succeeded", (name, status)
        if name.startswith("command"):
            continue  # its answer is in its log
        prefix = workers or f"{status['clusterName']}-worker-"
        hosts = flows.result(status)["workers"]
        assert hosts
        assert all(host.startswith(prefix) for host in hosts), (name, hosts)
    diamond = next(status for name, status in statuses.items() if name.startswith("diamond"))
    assert diamond["result"]["answer"] == 9900


def check_command(kube: Kube, name: str, workers: str) -> None:
    """The script's own client found the cluster: its log has the answer and the worker pods."""
    text = kube.logs(f"job/{kube.run_status(name)['jobName']}", "--tail=-1")
    assert "sum of squares: 328350" in text
    hosts = re.search(r"computed on: (.+)", text)
    assert hosts, text
    assert all(host.startswith(workers) for host in hosts[1].split(", ")), hosts[1]


def test_static_then_ephemeral_then_static(release: Release, shared: Kube) -> None:
    """Row 39: one release, three modes in turn, the same files, all pods admitted; what a mode does not need is gone."""
    static_workers = pods(shared, "worker")
    statuses = run_examples(shared, "static")
    check_answers(statuses, f"{release.fullname}-worker-")
    check_command(shared, "command-static", f"{release.fullname}-worker-")
    for name in ("diamond-static", "package-static", "own-static"):
        assert set(statuses[name]["result"]["workers"]) <= static_workers
    assert {status["mode"] for status in statuses.values()} == {"static"}

    release.upgrade("mode=ephemeral")
    release.wait_ready()
    eventually(lambda: not pods(shared, "scheduler") and not pods(shared, "worker"), 120)
    schedulers = watch_schedulers(shared)
    statuses = run_examples(shared, "ephemeral")
    check_answers(statuses)
    own = f"{statuses['command-ephemeral']['clusterName']}-worker-"
    check_command(shared, "command-ephemeral", own)
    assert {status["mode"] for status in statuses.values()} == {"ephemeral"}
    clusters = {status["clusterName"] for status in statuses.values()}
    assert len(clusters) == len(statuses)
    assert len(schedulers(len(statuses))) == len(statuses)

    release.upgrade("mode=static")
    release.wait_ready()
    submit(shared, *flows.EXAMPLES["diamond"], name="diamond-again")
    assert flows.result(shared.wait_run("diamond-again"))["answer"] == 9900
    invariants.check(shared)


def watch_schedulers(kube: Kube) -> Any:
    """Collect the UIDs of scheduler pods from their events: the pods themselves are gone soon."""

    def seen(count: int) -> set[str]:
        def uids() -> set[str]:
            return {
                event["involvedObject"]["uid"]
                for event in kube.list("events")
                if event["involvedObject"]["kind"] == "Pod"
                and event["involvedObject"]["name"].startswith("f-")
                and event["involvedObject"]["name"].endswith("-scheduler")
            }

        eventually(lambda: len(uids()) >= count, 30)
        return uids()

    return seen


def test_logs_by_label_show_the_whole_run(release: Release, shared: Kube) -> None:
    """``kubectl logs -l dask-flows.dev/run=NAME --tail=-1`` needs nothing but the run's name."""
    text = shared.logs("-l", "dask-flows.dev/run=diamond-again", "--tail=-1")

    assert "succeeded in" in text
    assert "work done by: " in text


def test_get_and_ls_show_the_same_columns(release: Release, shared: Kube) -> None:
    """A person may use either."""
    table = kubectl("get", "flowruns", "-n", shared.namespace)
    ours = flows.cli(shared, "ls")

    for column in ("NAME", "PHASE", "MODE", "ATTEMPT", "WORKERS", "AGE", "REASON"):
        assert column in table
        assert column in ours
    assert "Succeeded" in table
    assert "diamond-again" in ours

"""Plain, valid objects for tests; each test changes the one thing it is about."""

from copy import deepcopy
from typing import Any

from dask_flows.config import AgentConfig
from dask_flows.flowrun import FlowRun
from dask_flows.manifests import job, secret
from dask_flows.plan import make_plan

UID = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"


def pod_template(container: str, *args: str) -> dict[str, Any]:
    """Return a small pod template such as the chart renders."""
    return {
        "metadata": {"labels": {"app.kubernetes.io/component": container}, "annotations": {}},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": container,
                    "image": "example.org/flows:1",
                    "args": list(args),
                    "env": [{"name": "HOME", "value": "/tmp"}],
                    "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                }
            ],
        },
    }


def config_data(mode: str = "ephemeral", **changes: Any) -> dict[str, Any]:
    """Return what the chart writes into config.yaml."""
    worker = pod_template("worker", "worker", "--nthreads", "1", "--memory-limit", "1073741824")
    data = {
        "apiVersion": "dask-flows.dev/v1alpha1",
        "kind": "AgentConfig",
        "release": {"name": "r", "namespace": "ns", "fullname": "r-dask-flows", "chart": "dask-flows-0.1.0"},
        "labels": {"app.kubernetes.io/name": "dask-flows", "app.kubernetes.io/instance": "r"},
        "mode": mode,
        "channel": {"url": "http://r-dask-flows-agent.ns.svc:8700", "port": 8700},
        "pauseLease": "r-dask-flows-pause",
        "configHash": "c0ffee",
        "runs": {"startDeadlineSeconds": 600, "deadlineSeconds": None, "ttlSecondsAfterFinished": 86400},
        "static": {"address": "tcp://s:8786", "dashboardAddress": "http://s:8787", "minimum": 1, "podHash": "a"}
        if mode == "static"
        else None,
        "ephemeral": {"minimum": 1, "maximum": 2, "networkPolicy": {"enabled": True, "dashboardFrom": []}},
        "interruptible": {"nodeSelector": {"spot": "true"}, "tolerations": [{"key": "spot", "operator": "Exists"}]},
        "templates": {
            "runner": pod_template("runner"),
            "scheduler": pod_template("scheduler", "scheduler") if mode == "ephemeral" else None,
            "worker": worker if mode == "ephemeral" else None,
        },
    }  # fmt: skip
    return {**deepcopy(data), **changes}


def agent_config(mode: str = "ephemeral", **changes: Any) -> AgentConfig:
    """Return the same, read."""
    return AgentConfig.parse(config_data(mode, **changes))


def flow_run_data(name: str = "diamond", uid: str = UID, **spec: Any) -> dict[str, Any]:
    """Return a FlowRun as the API stores it."""
    return {
        "apiVersion": "dask-flows.dev/v1alpha1",
        "kind": "FlowRun",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": uid,
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec or {"flow": "flow.py:diamond"},
    }


def flow_run(name: str = "diamond", **spec: Any) -> FlowRun:
    """Return the same, read."""
    return FlowRun.parse(flow_run_data(name, **({"flow": "flow.py:diamond"} | spec)))


def inputs(mode: str, run: FlowRun) -> dict[str, str]:
    """Return the files that the agent gives a runner, from the Secret of its first attempt."""
    plan = make_plan(agent_config(mode), run, mode, 1)
    made = job(plan, run, "sha")
    made["metadata"]["uid"] = "of-the-job"
    data: dict[str, str] = secret(plan, run, made, "token")["stringData"]
    return data

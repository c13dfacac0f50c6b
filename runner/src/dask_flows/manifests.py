"""The objects of one attempt, as plain dictionaries built from its plan."""

import json
from collections.abc import Mapping
from typing import Any

from dask_flows import names
from dask_flows.config import ATTEMPT_FILE, PARAMETERS_FILE
from dask_flows.flowrun import FlowRun, parameters_json
from dask_flows.patching import add_mount, copy_spec, find_container, merge_env
from dask_flows.plan import COMM_PORT, DASHBOARD_PORT, SOURCE_ZIP, Plan, source_volume

PINNED_FILE = "pinned.json"
TOKEN_FILE = "token"  # noqa: S105 - a file's name, not a password
ATTEMPT_DIR = "/etc/dask-flows/attempt"
SOURCE_DIR = "/etc/dask-flows/source"
SOURCE_WORKDIR = "/tmp/dask-flows/source"  # noqa: S108 - the pod's own emptyDir
# A preload may be a program. An environment variable would hide the PYTHONPATH of the image, which is not
# known here; so processes that tasks start hear of it by that name, too.
IMPORT_FIRST = """\
import os, sys
sys.path.insert(0, {0!r})
rest = os.environ.get("PYTHONPATH")
os.environ["PYTHONPATH"] = {0!r} + (os.pathsep + rest if rest else "")
"""


def scheduler_service(plan: Plan) -> dict[str, Any]:
    """Build the scheduler's Service; it publishes the pod before it is ready, so nobody waits twice."""
    selector = {names.LABEL_CLUSTER: plan.base, names.LABEL_COMPONENT: "scheduler"}
    ports = [("tcp-comm", COMM_PORT), ("http-dashboard", DASHBOARD_PORT)]
    spec = {
        "type": "ClusterIP",
        "publishNotReadyAddresses": True,
        "selector": selector,
        "ports": [{"name": n, "port": p, "targetPort": n, "protocol": "TCP"} for n, p in ports],
    }
    meta = _meta(plan, names.scheduler_name(plan.base), "scheduler")
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def network_policy(plan: Plan) -> dict[str, Any]:
    """Build what closes the attempt's pods to all but each other; only a dashboard may have more peers."""
    assert plan.network_policy is not None, "this plan has no policy"
    own = {"matchLabels": {names.LABEL_CLUSTER: plan.base}}
    ingress: list[dict[str, Any]] = [{"from": [{"podSelector": own}]}]
    if plan.network_policy:  # a rule without peers would let in everybody
        ports = [{"port": DASHBOARD_PORT, "protocol": "TCP"}]
        ingress.append({"from": list(plan.network_policy), "ports": ports})
    # Nothing is said of what leaves the pods: flows read their data from anywhere.
    spec = {"podSelector": own, "policyTypes": ["Ingress"], "ingress": ingress}
    meta = _meta(plan, plan.base, "scheduler")
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return {**kind, "metadata": meta, "spec": spec}


def scheduler_pod(plan: Plan) -> dict[str, Any]:
    """Build the scheduler's pod."""
    assert plan.scheduler is not None, "only ephemeral plans have a scheduler"
    pod = _pod(plan, names.scheduler_name(plan.base), "scheduler", plan.scheduler)
    _mount_source(plan, pod["spec"], "scheduler")
    return pod


def worker_pod(plan: Plan, number: int) -> dict[str, Any]:
    """Build a worker's pod, connecting to the plan's address."""
    assert plan.worker is not None, "only ephemeral plans have workers"
    pod = _pod(plan, names.worker_name(plan.base, number), "worker", plan.worker)
    container = find_container(pod["spec"], "worker")
    address = {"name": "DASK_SCHEDULER_ADDRESS", "value": plan.address}
    kept = [e for e in container["env"] if e["name"] != address["name"]]
    container["env"] = [address, *kept]
    _mount_source(plan, pod["spec"], "worker")
    return pod


def config_map(plan: Plan, run: FlowRun) -> dict[str, Any]:
    """Build what a cluster of its own needs before the runner is there: the plan, and the source."""
    data = {PINNED_FILE: plan.to_json(), **_source_files(run)}
    meta = _meta(plan, plan.base, "runner")
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def secret(plan: Plan, run: FlowRun, job: Mapping[str, Any], token: str) -> dict[str, Any]:
    """Build the attempt's inputs: what the runner reads, and its token; they go with the Job."""
    volumes = job["spec"]["template"]["spec"]["volumes"]
    name = next(v["secret"]["secretName"] for v in volumes if v["name"] == "attempt")
    meta = _meta(plan, name, "runner")
    of_job = job["metadata"]
    meta["ownerReferences"] = [_controller("batch/v1", "Job", of_job["name"], of_job["uid"])]
    data = {
        ATTEMPT_FILE: json.dumps(_attempt(plan, run)),
        PARAMETERS_FILE: parameters_json(run.spec.parameters),
        TOKEN_FILE: token,
        **({} if plan.mode == "ephemeral" else _source_files(run)),
    }
    kind = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque"}
    return {**kind, "metadata": meta, "stringData": data}


def _attempt(plan: Plan, run: FlowRun) -> dict[str, Any]:
    return {
        "run": plan.run,
        "namespace": plan.namespace,
        "uid": plan.uid,
        "attempt": plan.attempt,
        "mode": plan.mode,
        "flow": run.spec.flow,
        "command": run.spec.command,
        "address": plan.address,
        "dashboard": plan.dashboard,
        "minimumWorkers": plan.minimum,
        "maximumWorkers": plan.maximum,
        "startDeadlineSeconds": plan.start_deadline,
        "deadlineSeconds": plan.deadline,
        "schedulerTimeoutSeconds": plan.scheduler_timeout,
        "workersTimeoutSeconds": plan.workers_timeout,
        "strictEnvironment": plan.strict_environment,
        "channel": {"url": plan.channel_url, "tokenFile": f"{ATTEMPT_DIR}/{TOKEN_FILE}"},
        "source": SOURCE_DIR if run.spec.files else None,
        "sourceZip": f"{SOURCE_DIR}/{SOURCE_ZIP}" if run.spec.source_config_map else None,
        "sourceWorkdir": SOURCE_WORKDIR,
        "mounted": plan.source is not None,
    }


def _source_files(run: FlowRun) -> dict[str, str]:
    return {f"source-{n}": file["content"] for n, file in enumerate(run.spec.files)}


def job(plan: Plan, run: FlowRun, token_sha256: str) -> dict[str, Any]:
    """Build the runner's Job: one pod, started once; retries are new attempts.

    Its pod waits for a Secret that is made when the Job is there, under a name that no other Job uses:
    a Job that is made again never meets the Secret of the one before.
    """
    template = _pod(plan, "", "runner", plan.runner)
    template = {"metadata": template["metadata"], "spec": template["spec"]}
    for key in ("name", "namespace", "ownerReferences"):
        template["metadata"].pop(key, None)
    container = find_container(template["spec"], "runner")
    container["args"] = ["run", "--mode", plan.mode, "--attempt", ATTEMPT_DIR]
    container["env"] += [{"name": key, "value": text} for key, text in _identity(plan).items()]
    _mount_inputs(plan, run, f"{plan.base}-{token_sha256[:8]}", template["spec"])
    meta = _meta(plan, plan.base, "runner")
    meta["annotations"] |= {
        names.ANNOTATION_TOKEN: token_sha256,
        names.ANNOTATION_PLAN: plan.without_templates().to_json(),
    }
    spec = {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 0,
        # The default would start a second pod while the first one still ends.
        "podReplacementPolicy": "Failed",
        "template": template,
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}


def _identity(plan: Plan) -> dict[str, str]:
    """Return what a flow can make keys of, so that a second attempt finds what the first has done."""
    return {
        "DASK_FLOWS_RUN": plan.run,
        "DASK_FLOWS_RUN_UID": plan.uid,
        "DASK_FLOWS_ATTEMPT": str(plan.attempt),
    }


def owner(plan: Plan) -> dict[str, Any]:
    """Return the reference that lets Kubernetes remove an object with its FlowRun."""
    return _controller(f"{names.GROUP}/v1alpha1", "FlowRun", plan.run, plan.uid)


def _controller(api_version: str, kind: str, name: str, uid: str) -> dict[str, Any]:
    owner = {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid}
    return {**owner, "controller": True, "blockOwnerDeletion": False}


def _mount_inputs(plan: Plan, run: FlowRun, secret_name: str, spec: dict[str, Any]) -> None:
    def of_secret(items: list[dict[str, str]]) -> dict[str, Any]:
        return {"secret": {"secretName": secret_name, "items": items, "defaultMode": 0o444}}

    container = find_container(spec, "runner")
    own = [{"key": key, "path": key} for key in (ATTEMPT_FILE, PARAMETERS_FILE, TOKEN_FILE)]
    add_mount(spec, container, {"name": "attempt", **of_secret(own)}, ATTEMPT_DIR)
    source = source_volume(run.spec, plan.base)
    if source is None:
        return
    inline = run.spec.files and plan.mode != "ephemeral"  # else they are in the cluster's ConfigMap
    volume = of_secret(source["items"]) if inline else {"configMap": source}
    add_mount(spec, container, {"name": "source", **volume}, SOURCE_DIR)


def _mount_source(plan: Plan, spec: dict[str, Any], component: str) -> None:
    """Let a pod of Dask's import the run's source first: its modules go by reference then."""
    if plan.source is None:
        return
    container = find_container(spec, component)
    add_mount(spec, container, {"name": "source", "configMap": plan.source}, SOURCE_DIR)
    inline = plan.source["name"] == plan.base  # Python imports from a zip as it is
    folder = SOURCE_DIR if inline else f"{SOURCE_DIR}/{SOURCE_ZIP}"
    container["args"] = [*container["args"], "--preload", IMPORT_FIRST.format(folder)]


def _meta(plan: Plan, name: str, component: str) -> dict[str, Any]:
    own = names.attempt_labels(plan.run, plan.uid, plan.attempt, component)
    return {
        "name": name,
        "namespace": plan.namespace,
        "labels": {**plan.labels, **own},
        "annotations": dict(plan.annotations),
        "ownerReferences": [owner(plan)],
    }


def _pod(plan: Plan, name: str, component: str, template: Mapping[str, Any]) -> dict[str, Any]:
    meta = _meta(plan, name, component)
    of_template = template.get("metadata") or {}
    meta["labels"] = {**(of_template.get("labels") or {}), **meta["labels"]}
    meta["annotations"] = {**meta["annotations"], **(of_template.get("annotations") or {})}
    spec = copy_spec(template["spec"])
    container = find_container(spec, component)
    container["env"] = merge_env(container.get("env") or [], ())
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}

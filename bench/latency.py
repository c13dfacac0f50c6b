"""How long a run takes, step by step, next to the floor: the same pods made by a script.

created → user code starts → Succeeded → all gone, for each mode; one worker, trivial flow, images on the
node. The floor is taken in the same run, in turn with ours: a bare Job of ``python -c pass``, and the pods
of each mode created directly, whose client pod connects, runs one task and ends.
"""

import argparse
import json
import secrets
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from stats import ratio, spread, write

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "cluster"))

from kube import Kube, eventually, proxy
from namespaces import make_namespace, remove_namespace
from release import Release

OF_RUN = ("services", "networkpolicies", "configmaps", "secrets")  # gone with its attempt
CODE = "import time\ndef main():\n    return time.time()\n"
WITH_TASK = """
import time
from distributed import get_client
def main():
    begin = time.time()
    get_client().submit(abs, 1).result()
    return begin
"""
CLIENT = """
import time, sys
from distributed import Client
begin = None
while True:
    try:
        client = Client(sys.argv[1], timeout=5)
        break
    except OSError:
        time.sleep(0.1)
client.wait_for_workers(1)
begin = time.time()
client.submit(abs, 1).result()
open("/dev/termination-log", "w").write(str(begin))
"""
NOTES = (
    "Seconds from the creation, min / **median** / max; one worker, images on the node.",
    "Ratio: median of *done* over that of the same pods made by a script in the same run.",
    "The machine runs the whole control plane besides.",
)
TIMEOUT = 120.0
Times = dict[str, float]


def watch(kube: Kube, kind: str, name: str) -> Iterator[dict[str, Any]]:
    """Yield an object's states as they happen."""
    url = (
        f"{kube.url}{kube.path(kind)}?watch=1&fieldSelector=metadata.name={name}&timeoutSeconds=120"
    )
    with urllib.request.urlopen(url, timeout=TIMEOUT) as stream:
        for line in stream:
            yield json.loads(line)["object"]


def wait_for(
    kube: Kube, kind: str, name: str, when: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    """Return the first state for which ``when`` holds."""
    for state in watch(kube, kind, name):
        if when(state):
            return state
    raise SystemExit(f"{kind}/{name} did not get there within {TIMEOUT:g} s")


def flow_run(kube: Kube, code: str) -> Times:
    """Time one FlowRun."""
    name = f"bench-{secrets.token_hex(3)}"
    spec = {"flow": "flow.py:main", "source": {"files": [{"path": "flow.py", "content": code}]}}
    begin = time.time()
    kube.create("flowruns", {
        "apiVersion": "dask-flows.dev/v1alpha1", "kind": "FlowRun", "metadata": {"name": name}, "spec": spec,
    })  # fmt: skip
    run = wait_for(kube, "flowruns", name, lambda o: (o.get("status") or {}).get("finishTime"))
    succeeded = time.time()
    if run["status"]["phase"] != "Succeeded":
        raise SystemExit(json.dumps(run["status"], indent=1))
    label = f"dask-flows.dev/run={name}"
    eventually(
        lambda: (
            not any(kube.list(kind, label) for kind in OF_RUN)
            and all(p["status"]["phase"] == "Succeeded" for p in kube.list("pods", label))
        ),
        TIMEOUT,
    )
    return {
        "code": run["status"]["result"] - begin,
        "done": succeeded - begin,
        "gone": time.time() - begin,
    }


def bare_job(kube: Kube, template: dict[str, Any]) -> Times:
    """Time a Job that does nothing."""
    name = f"floor-{secrets.token_hex(3)}"
    pod = _client_pod(template, "pass")
    spec = {"backoffLimit": 0, "template": {"spec": pod}}
    begin = time.time()
    kube.create(
        "jobs", {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
    )
    wait_for(kube, "jobs", name, lambda o: (o.get("status") or {}).get("completionTime"))
    done = time.time() - begin
    kube.delete("jobs", name)
    return {"done": done}


def direct(kube: Kube, templates: dict[str, Any], address: str | None) -> Times:
    """Time the same pods made by hand; with ``address`` only the client's pod."""
    name = f"floor-{secrets.token_hex(3)}"
    begin = time.time()
    made: list[tuple[str, str]] = []
    if address is None:
        service = kube.create("services", _service(name))
        made.append(("services", name))
        address = f"tcp://{service['spec']['clusterIP']}:8786"
        for role in ("scheduler", "worker"):
            kube.create("pods", _dask_pod(templates[role], f"{name}-{role}", name, role, address))
            made.append(("pods", f"{name}-{role}"))
    spec = _client_pod(templates["runner"], CLIENT, address)
    meta = {"name": f"{name}-client"}
    kube.create("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    made.append(("pods", f"{name}-client"))
    pod = wait_for(
        kube, "pods", f"{name}-client", lambda o: o["status"]["phase"] in ("Succeeded", "Failed")
    )
    done = time.time()
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    for kind, key in made:
        kube.delete(kind, key)
    eventually(lambda: not any(kube.get(kind, key) for kind, key in made), TIMEOUT)
    return {
        "code": float(ended["message"]) - begin,
        "done": done - begin,
        "gone": time.time() - begin,
    }


def _client_pod(template: dict[str, Any], code: str, *args: str) -> dict[str, Any]:
    spec = deepcopy(template["spec"])
    container = spec["containers"][0]
    container["command"], container["args"] = ["python", "-c", code, *args], []
    return spec


def _dask_pod(
    template: dict[str, Any], name: str, cluster: str, role: str, address: str
) -> dict[str, Any]:
    spec = deepcopy(template["spec"])
    env = spec["containers"][0]["env"]
    if role == "worker":
        env.insert(0, {"name": "DASK_SCHEDULER_ADDRESS", "value": address})
    labels = {"floor": cluster, "role": role}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }


def _service(name: str) -> dict[str, Any]:
    spec = {
        "selector": {"floor": name, "role": "scheduler"},
        "publishNotReadyAddresses": True,
        "ports": [{"name": "tcp-comm", "port": 8786}],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def measure(api: Kube, mode: str, repeat: int) -> dict[str, list[Times]]:
    """Return all times of one mode and its floors, taken in turn."""
    kube = make_namespace(api, "bench")
    try:
        release = Release(kube)
        release.install(
            mode, ephemeral={"minimum": 1, "maximum": 1}, static={"workers": {"replicas": 1}}
        )
        config = kube.get("configmaps", f"{release.fullname}-config")
        assert config is not None
        settings = yaml.safe_load(config["data"]["config.yaml"])
        templates = settings["templates"]
        address = settings["static"]["address"] if mode == "static" else None
        code = CODE if mode == "local" else WITH_TASK
        flow_run(kube, code)  # warm: page cache, first connections
        series: dict[str, list[Times]] = {"FlowRun": [], "same pods": [], "bare Job": []}
        for turn in range(repeat):
            series["FlowRun"].append(flow_run(kube, code))
            if mode != "local":
                series["same pods"].append(direct(kube, templates, address))
            if mode == "static":
                series["bare Job"].append(bare_job(kube, templates["runner"]))
            print(f"{mode}: {turn + 1}/{repeat}", file=sys.stderr, flush=True)
        return series
    finally:
        remove_namespace(kube)


def main() -> None:
    """Measure each mode and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--modes", nargs="+", default=["static", "ephemeral", "local"])
    args, _ = parser.parse_known_args()
    rows = []
    with proxy() as url:
        for mode in args.modes:
            series = measure(Kube(url, "default"), mode, args.repeat)
            for name, times in series.items():
                if times:
                    floor = series["same pods"] or times
                    rows.append(_row(mode, name, times, floor))
    write(
        "latency",
        "From creation to the end",
        NOTES,
        ["mode", "what", "user code starts", "done", "all gone", "ratio"],
        rows,
    )  # fmt: skip


def _row(mode: str, name: str, times: list[Times], floor: list[Times]) -> list[str]:
    cells = [
        spread([t[key] for t in times]) if key in times[0] else ""
        for key in ("code", "done", "gone")
    ]
    return [mode, name, *cells, ratio([t["done"] for t in times], [t["done"] for t in floor])]


if __name__ == "__main__":
    main()

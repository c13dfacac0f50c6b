"""A namespace set up for an agent outside of the cluster: what the chart would install, minus Deployments."""

import json
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

import invariants
import invariants.evidence
from kube import Kube, kubectl, proxy, run
from kwok.agent import ROOT, AgentProcess
from kwok.driver import Driver
from release import CHART, image_values

NAME = "flows"
CONFIG = "config.yaml"
# Installed as they are: the agent gets the chart's rights and no more.
KINDS = ("ServiceAccount", "Role", "RoleBinding")
ON_KWOK = {
    "nodeSelector": {"type": "kwok"},
    "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
}
# Nothing listens there: who plays the runner needs no scheduler.
NOWHERE = "tcp://127.0.0.1:1"
FLOW = "made_up:flow"  # never imported: the driver plays it


@dataclass
class Site:
    """One namespace, and the files that an agent for it reads."""

    kube: Kube
    folder: Path
    mode: str
    port: int
    values: dict[str, Any]

    @property
    def namespace(self) -> str:
        """Where everything is."""
        return self.kube.namespace

    @property
    def account(self) -> str:
        """The agent's user name, as the audit log has it."""
        return f"system:serviceaccount:{self.namespace}:{NAME}-dask-flows-agent"

    def agent(self) -> AgentProcess:
        """Return an agent for this namespace, not started."""
        return AgentProcess(
            self.folder / CONFIG, self.folder / "kubeconfig", self.folder / "agent.log", self.port
        )

    def go_through(self, url: str) -> None:
        """Let agents that start from now on reach the API server at another address."""
        path = self.folder / "kubeconfig"
        config = json.loads(path.read_text())
        config["clusters"][0]["cluster"] = {"server": url}
        path.write_text(json.dumps(config))

    def create(self, name: str, **spec: Any) -> dict[str, Any]:
        """Create a FlowRun; returns it."""
        return self.kube.create("flowruns", flow_run(name, **spec))

    def check(
        self, driver: Driver, *agents: AgentProcess, timeout: float = 60, restarts: int = 0
    ) -> None:
        """Fail unless all invariants hold of this namespace, whose runners this driver has played.

        ``restarts`` are what cost as much as a restart, besides those of the agents.
        """
        begun = [r for r in list(driver.runners.values()) if r.started]
        starts = [invariants.evidence.Start(r.uid, r.attempt, r.pod_uid) for r in begun]
        counted = [run["metadata"]["uid"] for run in self.kube.list("flowruns")]
        invariants.check(
            self.kube,
            timeout,
            starts=starts,
            counted=counted,
            restarts=restarts + sum(agent.starts - 1 for agent in agents),
            agents=[
                invariants.Agent(agent.config.stem, agent.text, agent.peak_mib())
                for agent in agents
            ],
        )

    def install(self) -> None:
        """Render the chart; install its accounts and rights, and write the agent's files."""
        for crd in sorted((CHART / "crds").glob("*.yaml")):
            kubectl("apply", "--server-side", "--force-conflicts", "-f", str(crd))
        objects = self.render()
        wanted = [obj for obj in objects if obj["kind"] in KINDS and not _is_hook(obj)]
        bundle = {"apiVersion": "v1", "kind": "List", "items": wanted}
        kubectl("apply", "-n", self.namespace, "-f", "-", stdin=json.dumps(bundle))
        self.write_config(objects)
        self._write_kubeconfig()

    def render(self) -> list[dict[str, Any]]:
        """Return the chart's objects for this mode on fake nodes."""
        values = _merge(_values(self.mode), self.values)
        done = subprocess.run(
            ["helm", "template", NAME, str(CHART), "-n", self.namespace, "--values", "-"],
            input=json.dumps(values), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [obj for obj in yaml.safe_load_all(done.stdout) if obj]

    def write_config(self, objects: list[dict[str, Any]]) -> None:
        """Write the agent's configuration, with its address on this machine."""
        maps = [obj for obj in objects if obj["kind"] == "ConfigMap" and CONFIG in obj["data"]]
        config = yaml.safe_load(maps[0]["data"][CONFIG])
        config["channel"] = {
            **config["channel"],
            "url": f"http://127.0.0.1:{self.port}",
            "port": self.port,
        }
        (self.folder / CONFIG).write_text(yaml.safe_dump(config))

    def _write_kubeconfig(self) -> None:
        account = self.account.rpartition(":")[2]
        token = kubectl("create", "token", account, "-n", self.namespace, "--duration=24h").strip()
        config = json.loads(
            kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
        )
        config["users"] = [{"name": "agent", "user": {"token": token}}]
        context = config["contexts"][0]
        context["context"] = {**context["context"], "user": "agent", "namespace": self.namespace}
        path = self.folder / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))


@contextmanager
def site(prefix: str, *, mode: str = "static", **values: Any) -> Iterator[Site]:
    """Set up a fresh namespace with these values of the chart; removed at the end."""
    with proxy() as url, TemporaryDirectory(prefix="dask-flows-kwok-") as folder:
        kube = Kube(url, f"t-kwok-{prefix}-{secrets.token_hex(3)}")
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": kube.namespace,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }
        kube.request("POST", "/api/v1/namespaces", body)
        try:
            here = Site(kube, Path(folder), mode, free_port(), values)
            here.install()
            yield here
        finally:
            # Ten thousand runs take Kubernetes a while: nobody waits for it.
            kubectl("delete", "namespace", kube.namespace, "--wait=false")


def has_kwok() -> bool:
    """Whether the cluster has fake nodes that somebody plays: their objects outlive the program."""
    ready = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
    return "True" in kubectl("get", "nodes", "-l", "type=kwok", "-o", f"jsonpath={ready}").split()


def start_kwok() -> bool:
    """Start fake nodes if the cluster is our own and has none that live; returns whether there are some."""
    if has_kwok():
        return True
    program = ["python3", str(ROOT / "ci" / "cluster")]
    if run(*program, "kubeconfig").strip() != os.environ.get("KUBECONFIG"):
        return False
    run(*program, "kwok", "up", timeout=600)
    return True


def flow_run(name: str, **spec: Any) -> dict[str, Any]:
    """Return a FlowRun."""
    return {
        "apiVersion": "dask-flows.dev/v1alpha1",
        "kind": "FlowRun",
        "metadata": {"name": name},
        "spec": {"flow": FLOW, **spec},
    }


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _values(mode: str) -> dict[str, Any]:
    values: dict[str, Any] = {
        "mode": mode,
        **image_values(),
        "runner": ON_KWOK,
        "dask": {"scheduler": ON_KWOK, "worker": ON_KWOK},
        "agent": {"allowModeOverride": True},
    }
    if mode == "static":
        values["static"] = {"address": NOWHERE}
    return values


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _is_hook(obj: dict[str, Any]) -> bool:
    return "helm.sh/hook" in (obj["metadata"].get("annotations") or {})

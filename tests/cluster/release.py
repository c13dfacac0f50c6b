"""Install, upgrade and remove the chart as a person does, with helm."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kube import Kube, eventually, run

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "dask-flows"
IMAGE = os.environ.get("IMAGE", "registry.local/dask-flows:dev")
HELM = os.environ.get("HELM", "helm")


def image_values(image: str = IMAGE) -> dict[str, Any]:
    """Split an image's name into the chart's values."""
    repository, _, tag = image.rpartition(":")
    return {
        "image": {
            "registry": "",
            "repository": repository,
            "tag": tag,
            "pullPolicy": "IfNotPresent",
        }
    }


@dataclass
class Release:
    """One release of the chart in one namespace."""

    kube: Kube
    name: str = "flows"

    @property
    def fullname(self) -> str:
        """The prefix of the names of its objects."""
        return f"{self.name}-dask-flows"

    def install(self, mode: str, *, image: str = IMAGE, wait: bool = True, **values: Any) -> None:
        """Install with these values and wait for its Deployments."""
        merged = {"mode": mode, **image_values(image), **values}
        self._helm("install", self.name, str(CHART), "--values", "-", stdin=json.dumps(merged))
        if wait:
            self.wait_ready()

    def upgrade(self, *settings: str, check: bool = True, timeout: str = "5m") -> str:
        """Upgrade with ``--reset-then-reuse-values`` and these ``--set`` settings."""
        sets = [part for setting in settings for part in ("--set", setting)]
        return self._helm(
            "upgrade", self.name, str(CHART), "--reset-then-reuse-values", "--timeout", timeout,
            *sets, check=check,
        )  # fmt: skip

    def start_upgrade(self, *settings: str) -> subprocess.Popen[str]:
        """Begin the same in the background."""
        sets = [part for setting in settings for part in ("--set", setting)]
        command = [HELM, "upgrade", self.name, str(CHART), "-n", self.kube.namespace,
                   "--reset-then-reuse-values", *sets]  # fmt: skip
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def uninstall(self) -> None:
        """Remove the release."""
        self._helm("uninstall", self.name, "--wait")

    def wait_ready(self, timeout: float = 120) -> None:
        """Wait until every Deployment of the release has all its pods ready."""

        def ready() -> bool:
            deployments = self.kube.list("deployments", f"app.kubernetes.io/instance={self.name}")
            return bool(deployments) and all(map(_complete, deployments))

        eventually(ready, timeout, lambda: run("kubectl", "get", "pods", "-n", self.kube.namespace))

    def static_versions(self) -> dict[str, str]:
        """Return the generation and resourceVersion of the static workloads' specs."""
        found = {}
        for part in ("scheduler", "worker"):
            deployment = self.kube.get("deployments", f"{self.fullname}-{part}")
            if deployment is not None:
                found[part] = deployment["metadata"]["resourceVersion"]
        return found

    def _helm(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        return run(HELM, *args, "-n", self.kube.namespace, stdin=stdin, check=check, timeout=400)


def _complete(deployment: dict[str, Any]) -> bool:
    wanted, status = deployment["spec"]["replicas"], deployment.get("status") or {}
    return (
        status.get("observedGeneration") == deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == wanted
        and status.get("readyReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
    )

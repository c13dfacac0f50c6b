"""Render the chart: the one seam between these tests and Helm.

The engine is Helm itself, in this process (the package ``helm-python-sdk``) or as a program. The
first needs no installation beyond Python and renders in milliseconds, so it is preferred; the
environment variable ``HELM`` names a program to use instead. ``test_engines.py`` compares them all.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

import yaml

try:
    import helm_python
except ImportError:  # a platform without a wheel
    helm_python = None

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "dask-flows"
NOTES = "templates/NOTES.txt"
_SOURCE = re.compile(r"^# Source: [^/]+/(.+)$")
_SECONDS = 60
KUBERNETES = "1.36.0"
# The one in C reads the same ten times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class RenderError(Exception):
    """Helm refused the values; the text is what a user would read."""


@dataclass(frozen=True)
class Rendered:
    """What Helm made, by the path of the template in the chart."""

    files: Mapping[str, str]

    @cached_property
    def objects(self) -> list[dict[str, Any]]:
        """Every Kubernetes object, hooks and tests included."""
        texts = [text for path, text in sorted(self.files.items()) if path != NOTES]
        return [obj for text in texts for obj in yaml.load_all(text, LOADER) if obj]

    @cached_property
    def config(self) -> dict[str, Any]:
        """What the agent reads."""
        text = self.one("ConfigMap", "-config")["data"]["config.yaml"]
        parsed: dict[str, Any] = yaml.load(text, LOADER)
        return parsed

    @property
    def notes(self) -> str:
        """What Helm prints at the end; only the engine in this process tells it."""
        return self.files[NOTES]

    def kinds(self) -> set[tuple[str, str]]:
        """Kind and name of every object."""
        return {(obj["kind"], obj["metadata"]["name"]) for obj in self.objects}

    def one(self, kind: str, suffix: str) -> dict[str, Any]:
        """Return the object of this kind whose name ends so."""
        found = [
            obj
            for obj in self.objects
            if obj["kind"] == kind and obj["metadata"]["name"].endswith(suffix)
        ]
        assert len(found) == 1, f"{len(found)} objects {kind} *{suffix}"
        return found[0]


class Engine(Protocol):
    """A Helm that can render."""

    def render(
        self, chart: Path, values: Mapping[str, Any], release: str, namespace: str, *, upgrade: bool
    ) -> dict[str, str]:
        """Return the text of each template; raises RenderError."""
        ...


class InProcess:
    """Helm as a library."""

    def render(
        self, chart: Path, values: Mapping[str, Any], release: str, namespace: str, *, upgrade: bool
    ) -> dict[str, str]:
        """Render with the library."""
        with helm_python.Chart.load(chart) as loaded:
            try:
                loaded.validate_schema(dict(values))
                files = loaded.render(
                    dict(values),
                    name=release,
                    namespace=namespace,
                    is_install=not upgrade,
                    is_upgrade=upgrade,
                )
            except helm_python.HelmError as error:
                raise RenderError(str(error)) from None
        return {path.partition("/")[2]: text for path, text in files.items() if text.strip()}


@dataclass(frozen=True)
class Program:
    """Helm as a program."""

    path: str

    def render(
        self, chart: Path, values: Mapping[str, Any], release: str, namespace: str, *, upgrade: bool
    ) -> dict[str, str]:
        """Run ``helm template``."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            json.dump(values, file)
            file.flush()
            # Without a cluster, a Helm that was built from source may take Kubernetes for very old.
            command = [self.path, "template", release, str(chart), "--kube-version", KUBERNETES]
            command += ["-n", namespace, "-f", file.name, *(["--is-upgrade"] if upgrade else [])]
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        if done.returncode:
            raise RenderError(done.stderr)
        return _by_source(done.stdout)

    def version(self) -> str:
        """Return what the program says it is."""
        command = [self.path, "version", "--short"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
        return done.stdout.strip()


def render(
    values: Mapping[str, Any],
    *,
    release: str = "r",
    namespace: str = "ns",
    upgrade: bool = False,
    chart: Path = CHART,
    engine: Engine | None = None,
) -> Rendered:
    """Render the chart with these values; raises RenderError with Helm's text."""
    chosen = engine or default_engine()
    return Rendered(chosen.render(chart, values, release, namespace, upgrade=upgrade))


@cache
def default_engine() -> Engine:
    """Return the Helm to use."""
    if named := os.environ.get("HELM"):
        return Program(named)
    if helm_python is not None:
        return InProcess()
    found = programs()
    assert found, "no Helm found (HELM, PATH): pip install helm-python-sdk, or install helm"
    return next(iter(found.values()))


@cache
def programs() -> dict[str, Program]:
    """Return the Helm programs of this machine, by name."""
    cached = Path(os.environ.get("DASK_FLOWS_CACHE", "~/.cache/dask-flows")).expanduser() / "bin"
    path = f"{cached}{os.pathsep}{os.environ.get('PATH', '')}"
    found = {name: shutil.which(name, path=path) for name in ("helm4", "helm3", "helm")}
    return {name: Program(where) for name, where in found.items() if where}


def ci_values() -> dict[str, dict[str, Any]]:
    """Return the values files that are installed in tests, by name."""
    files = sorted((CHART / "ci").glob("*-values.yaml"))
    return {f.name.removesuffix("-values.yaml"): yaml.safe_load(f.read_text()) for f in files}


def values(*overlays: Mapping[str, Any], **overrides: Any) -> dict[str, Any]:
    """Return the least values that render, with others laid over them."""
    merged: dict[str, Any] = {"image": {"repository": "dask-flows"}}
    for overlay in (*overlays, overrides):
        merged = merge(merged, overlay)
    return merged


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another, as Helm does."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(old, value) if both else value
    return merged


def _by_source(text: str) -> dict[str, str]:
    """Split the output of ``helm template`` at the comments that name the templates."""
    files: dict[str, str] = {}
    path = ""
    for line in text.splitlines():
        if match := _SOURCE.match(line):
            path = match[1]
        files[path] = files.get(path, "") + line + "\n"
    files.pop("", None)
    return files

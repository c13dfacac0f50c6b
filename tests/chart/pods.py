"""Find the pods in what the chart made, wherever they are described."""

from collections.abc import Iterator, Mapping
from typing import Any

from chart.render import Rendered


def pod_templates(rendered: Rendered) -> dict[str, dict[str, Any]]:
    """Return every pod template, those for the agent included, by where it stands."""
    found = {}
    for obj in rendered.objects:
        name = f"{obj['kind']}/{obj['metadata']['name']}"
        if obj["kind"] == "Pod":
            found[name] = {"metadata": obj["metadata"], "spec": obj["spec"]}
        elif "template" in (obj.get("spec") or {}):
            found[name] = obj["spec"]["template"]
    for role, template in rendered.config["templates"].items():
        found[f"config.yaml/{role}"] = template
    for profile, settings in rendered.config["profiles"].items():
        for role, template in settings["templates"].items():
            found[f"config.yaml/profiles/{profile}/{role}"] = template
    return found


def container_of(rendered: Rendered, where: str) -> dict[str, Any]:
    """Return the container of one pod template, for instance of ``config.yaml/worker``."""
    (container,) = pod_templates(rendered)[where]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def containers(template: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every container of a pod."""
    yield from template["spec"].get("initContainers", [])
    yield from template["spec"]["containers"]


def flag(container: Mapping[str, Any], name: str) -> str | None:
    """Return the argument that follows a flag."""
    args = container["args"]
    return args[args.index(name) + 1] if name in args else None


def env(container: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environment by name."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}

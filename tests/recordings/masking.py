"""What of an object a recording keeps, and names that are the same in every recording."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]
META = ("name", "labels", "uid", "creationTimestamp", "deletionTimestamp", "ownerReferences")
OURS = ("app.kubernetes.io/", "dask-flows.dev/")
USUAL = ("Scheduled", "Pulling", "Pulled", "Created", "Started", "SuccessfulCreate")
KEPT: dict[str, dict[str, tuple[str, ...]]] = {
    "job": {
        "metadata": META,
        "spec": ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds"),
        "status": ("active", "ready", "failed", "terminating", "startTime", "conditions"),
    },
    "pods": {
        "metadata": META,
        "spec": ("initContainers", "containers", "nodeName", "restartPolicy", "activeDeadlineSeconds"),
        "status": ("phase", "reason", "message", "conditions", "initContainerStatuses", "containerStatuses"),
    },
    "nodes": {"metadata": ("name",), "spec": ("taints",), "status": ("conditions",)},
}  # fmt: skip
EVENT = ("type", "reason", "message", "count", "firstTimestamp", "lastTimestamp", "eventTime")
CONDITION = ("type", "status", "reason", "message", "lastTransitionTime")
CONTAINER = ("name", "image", "command", "resources")
STATE = ("name", "image", "ready", "restartCount", "state", "lastState")
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LONG_HEX = re.compile(r"\b[0-9a-f]{64}\b")
IP = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")
TIME = re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def mask(document: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the document with only what matters; ``texts`` are replaced, old to new."""
    kept = {
        "job": _prune(document["job"], KEPT["job"]) if document["job"] else None,
        "pods": [_pod(pod) for pod in document["pods"]],
        "events": [_event(event) for event in document["events"] if event["reason"] not in USUAL],
        "nodes": [_node(node) for node in document["nodes"]],
    }
    first = next(o for o in (document["job"], *document["pods"], *document["events"]) if o)
    begin = first["metadata"]["creationTimestamp"]
    text = json.dumps(kept)
    for old in sorted(texts, key=len, reverse=True):
        text = text.replace(old, texts[old])
    text = _number(text, UID, "{:08d}-0000-4000-8000-000000000000")
    text = _number(text, LONG_HEX, "{:064d}")
    text = _number(text, IP, "192.0.2.{}")
    return dict(json.loads(_shift(text, _parse(begin))))


def _node(node: Object) -> Object:
    kept = _prune(node, KEPT["nodes"])
    kept["status"]["conditions"] = [
        _only(c, ("type", "status", "reason")) for c in node["status"]["conditions"]
    ]
    return kept


def _prune(obj: Object, kept: Mapping[str, tuple[str, ...]]) -> Object:
    return {
        part: {key: obj[part][key] for key in keys if key in obj.get(part, {})}
        for part, keys in kept.items()
    }


def _pod(pod: Object) -> Object:
    kept = _prune(pod, KEPT["pods"])
    kept["metadata"]["labels"] = {
        key: value for key, value in kept["metadata"]["labels"].items() if key.startswith(OURS)
    }
    if "conditions" in kept["status"]:
        kept["status"]["conditions"] = [_only(c, CONDITION) for c in kept["status"]["conditions"]]
    for key in ("initContainers", "containers"):
        if key in kept["spec"]:
            kept["spec"][key] = [_only(c, CONTAINER) for c in kept["spec"][key]]
    for key in ("initContainerStatuses", "containerStatuses"):
        if key in kept["status"]:
            kept["status"][key] = [_status(c) for c in kept["status"][key]]
    return kept


def _status(container: Object) -> Object:
    kept = _only(container, STATE)
    for key in ("state", "lastState"):
        kept[key] = {
            kind: {k: v for k, v in state.items() if k != "containerID"}
            for kind, state in (container.get(key) or {}).items()
        }
    return kept


def _event(event: Object) -> Object:
    about = _only(event["involvedObject"], ("kind", "name", "uid"))
    meta = _only(event["metadata"], ("uid", "creationTimestamp"))
    return {"metadata": meta, "involvedObject": about, **_only(event, EVENT)}


def _only(obj: Object, keys: tuple[str, ...]) -> Object:
    return {key: obj[key] for key in keys if key in obj}


def _number(text: str, pattern: re.Pattern[str], form: str) -> str:
    found: dict[str, str] = {}
    return pattern.sub(lambda match: found.setdefault(match[0], form.format(len(found) + 1)), text)


def _shift(text: str, begin: datetime) -> str:
    """Move all times so that ``begin`` is the start of 2026."""
    by = EPOCH - begin
    return TIME.sub(lambda match: _format(_parse(match[0]) + by, match[1]), text)


def _parse(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _format(moment: datetime, fraction: str | None) -> str:
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{moment.microsecond:06d}Z" if fraction else f"{text}Z"

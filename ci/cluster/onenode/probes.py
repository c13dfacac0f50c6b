"""Ask the components whether they work."""

import contextlib
import json
import socket
import ssl
import urllib.error
import urllib.request
from datetime import datetime
from typing import Any

from onenode.network import API_URL, NODE
from onenode.paths import Paths
from onenode.waiting import Probe

REQUEST_SECONDS = 3.0


def probe(address: str, paths: Paths) -> Probe:
    """Return the probe of an address: http://, https:// or unix:PATH."""
    if address.startswith("unix:"):
        return lambda: _accepts(address.removeprefix("unix:"))
    return lambda: _answers(address, paths)


def _accepts(path: str) -> str | None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(REQUEST_SECONDS)
        try:
            client.connect(path)
        except OSError as error:
            return f"{path}: {error.strerror or error}"
    return None


def _answers(url: str, paths: Paths) -> str | None:
    try:
        _open(url, paths)
    except urllib.error.HTTPError as error:
        last = error.read().decode(errors="replace").strip().splitlines()
        return f"{url} answers {error.code}: {last[-1] if last else ''}"
    except OSError as error:
        return f"{url}: {error}"
    return None


def _open(url: str, paths: Paths) -> bytes:
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if url.startswith("https:"):
        context = ssl.create_default_context(cafile=str(paths.pki / "ca.crt"))
        context.load_cert_chain(paths.pki / "admin.crt", paths.pki / "admin.key")
        if not url.startswith(API_URL):  # the others sign their own certificate at every start
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        handlers.append(urllib.request.HTTPSHandler(context=context))
    opener = urllib.request.build_opener(*handlers)
    with opener.open(url, timeout=REQUEST_SECONDS) as answer:
        body: bytes = answer.read()
        return body


def node_ready(paths: Paths, since: datetime | None) -> str | None:
    """Complain unless the node is Ready, reported by its kubelet after `since`."""
    try:
        node = json.loads(_open(f"{API_URL}/api/v1/nodes/{NODE}", paths))
    except OSError as error:
        return f"node {NODE}: {error}"
    return judge_node(node, since)


def judge_node(node: dict[str, Any], since: datetime | None) -> str | None:
    """Read the Ready condition of a node object; an old one is from before the last stop."""
    for condition in node.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            if since and datetime.fromisoformat(condition["lastHeartbeatTime"]) < since:
                return "the kubelet has not reported yet"
            return None if condition["status"] == "True" else str(condition["message"])
    return "the node has no Ready condition"


def service_account_ready(paths: Paths) -> str | None:
    """Complain unless pods can be made in the namespace `default`."""
    try:
        _open(f"{API_URL}/api/v1/namespaces/default/serviceaccounts/default", paths)
    except OSError as error:
        return f"service account default: {error}"
    return None

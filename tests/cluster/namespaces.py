"""Namespaces for tests: fresh, restricted, and gone afterwards."""

import secrets

from kube import Kube, kubectl


def make_namespace(api: Kube, prefix: str) -> Kube:
    """Create a namespace that admits only restricted pods."""
    name = f"t-{prefix}-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    api.request("POST", "/api/v1/namespaces", body)
    return api.in_namespace(name)


def remove_namespace(kube: Kube) -> None:
    """Delete a namespace and wait until it is gone."""
    kubectl("delete", "namespace", kube.namespace, "--timeout=120s", timeout=130)

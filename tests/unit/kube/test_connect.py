"""The API server, the credentials and the namespace are found as kubectl finds them."""

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from dask_flows.errors import ConfigError
from dask_flows.kube.connect import connect


def kubeconfig(folder: Path, user: dict[str, Any], name: str = "config") -> str:
    """Write a kubeconfig with two contexts and return its path."""
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [
            {"name": "c1", "cluster": {"server": "http://one:1"}},
            {"name": "c2", "cluster": {"server": "http://two:2/"}},
        ],
        "users": [{"name": "u", "user": user}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c1", "user": "u"}},
            {"name": "two", "context": {"cluster": "c2", "user": "u", "namespace": "team"}},
        ],
    }
    path = folder / name
    path.write_text(yaml.safe_dump(data))
    return str(path)


def plugin(folder: Path, text: str) -> dict[str, Any]:
    """Return a user whose credentials come from a program that prints ``text``."""
    path = folder / "plugin"
    path.write_text(f"#!/bin/sh\ncat <<'E'\n{text}\nE\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path)}}


@pytest.mark.parametrize(
    ("context", "namespace", "server", "expected"),
    [
        (None, None, "http://one:1", "default"),
        ("two", None, "http://two:2", "team"),
        ("two", "mine", "http://two:2", "mine"),
    ],
)
async def test_context_and_namespace(
    tmp_path: Path, context: str | None, namespace: str | None, server: str, expected: str
) -> None:
    """The one named, else the context's, else default."""
    path = kubeconfig(tmp_path, {"token": "t"})
    async with await connect(file=path, context=context, namespace=namespace) as client:
        assert (client.server, client.namespace) == (server, expected)


async def test_an_exec_plugin_gives_the_token(tmp_path: Path) -> None:
    """As clouds do it."""
    answer = (
        '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",'
        ' "status": {"token": "from-plugin"}}'
    )
    path = kubeconfig(tmp_path, plugin(tmp_path, answer))
    async with await connect(file=path) as client:
        authentication: dict[str, Any] = dict(await client._settings.auth_settings())

        assert authentication["BearerToken"]["value"] == "Bearer from-plugin"


async def test_a_plugin_that_fails_is_named(tmp_path: Path) -> None:
    """Not a bare 401 later."""
    path = kubeconfig(tmp_path, plugin(tmp_path, "not json"))

    with pytest.raises(ConfigError, match="plugin"):
        await connect(file=path)


@pytest.mark.parametrize("context", ["three", "one"])
async def test_a_context_or_a_file_that_is_not_there(tmp_path: Path, context: str) -> None:
    """The message has the path and what to check."""
    path = kubeconfig(tmp_path, {"token": "t"}) if context == "three" else str(tmp_path / "none")

    with pytest.raises(ConfigError, match=str(tmp_path)):
        await connect(file=path, context=context)


async def test_without_any_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a pod and no kubeconfig: said in one line."""
    monkeypatch.setattr(
        "dask_flows.kube.connect.kubeconfig.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(ConfigError, match="no Kubernetes cluster is configured"):
        await connect()

"""Find the API server and the credentials, the way kubectl does.

A kubeconfig wins (the file given, else ``KUBECONFIG``, else ``~/.kube/config``), with the context named
or the current one and exec plugins; without any file, the service account of the pod we run in.
The service account's token is read again every minute, an exec plugin asked again when its token ends.
"""

import os
from pathlib import Path
from typing import Any

from kubernetes.aio import config as kubeconfig
from kubernetes.aio.client.configuration import Configuration

from dask_flows.errors import ConfigError
from dask_flows.kube.client import KubeClient

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


async def connect(
    *, file: str | None = None, context: str | None = None, namespace: str | None = None
) -> KubeClient:
    """Return a client; ``client.namespace`` is the one named, else the context's, else default.

    Raises ConfigError if no cluster is configured.
    """
    paths = file or kubeconfig.KUBE_CONFIG_DEFAULT_LOCATION
    settings = Configuration()
    try:
        if _exists(paths):
            found = await _from_file(settings, paths, context)
        elif file or context:
            raise ConfigError("there is no kubeconfig", where=paths, do="check KUBECONFIG")
        else:
            found = _from_pod(settings)
    except (kubeconfig.ConfigException, OSError) as error:
        raise ConfigError(
            f"no Kubernetes cluster is configured: {error}",
            where=paths,
            do="set KUBECONFIG, or check --context",
        ) from error
    return KubeClient(settings, namespace or found or "default")


def _exists(paths: str) -> bool:
    return any(Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path)


def _from_pod(settings: Configuration) -> str:
    kubeconfig.load_incluster_config(  # type: ignore[no-untyped-call]
        client_configuration=settings
    )
    return (SERVICE_ACCOUNT / "namespace").read_text().strip()


async def _from_file(settings: Configuration, paths: str, context: str | None) -> str:
    loader: Any = await kubeconfig.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=paths, context=context, client_configuration=settings, persist_config=False
    )
    user = loader._user or {}  # noqa: SLF001 - the library has no other way to ask
    if "exec" in user:
        _check_exec(settings, user, paths)
        settings.refresh_api_key_hook = _renew(loader)
    chosen = loader.current_context.get("context") or {}
    return str(chosen.get("namespace") or "")


def _check_exec(settings: Configuration, user: Any, paths: str) -> None:
    # The library only logs a failing plugin; without this the user would see a bare 401.
    if "BearerToken" not in settings.api_key and not settings.cert_file:
        raise ConfigError(
            f"the credential plugin {user['exec']['command']} gave no credentials",
            where=paths,
            do="run it by hand, or log in again",
        )


def _renew(loader: Any) -> Any:
    async def hook(settings: Configuration) -> None:
        if hasattr(loader, "exec_plugin_expiry"):
            await loader.load_from_exec_plugin()
            settings.api_key["BearerToken"] = loader.token

    return hook

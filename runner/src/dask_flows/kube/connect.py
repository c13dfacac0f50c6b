"""Find the API server and the credentials, the way kubectl does.

A kubeconfig wins (the file given, else ``KUBECONFIG``, else ``~/.kube/config``), with the context named
or the current one and exec plugins; without any file, the service account of the pod we run in.
A token in a file, as a service account has it, is read again for each request: it is replaced while we
run. An exec plugin is asked again when its token ends.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

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
    _settle_proxy(settings)
    return KubeClient(settings, namespace or found or "default")


def _settle_proxy(settings: Configuration) -> None:
    # Left to aiohttp, the environment and ~/.netrc are read in two threads for each request, which is more
    # than half of a request's CPU time.
    url = urlsplit(settings.host)
    if not settings.proxy and not proxy_bypass(url.hostname or ""):
        settings.proxy = getproxies().get(url.scheme)
    settings.client_session_kwargs = {"trust_env": False}


def _exists(paths: str) -> bool:
    return any(Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path)


def _from_pod(settings: Configuration) -> str:
    kubeconfig.load_incluster_config(  # type: ignore[no-untyped-call]
        client_configuration=settings, try_refresh_token=False
    )
    settings.refresh_api_key_hook = _read_again(SERVICE_ACCOUNT / "token")
    return (SERVICE_ACCOUNT / "namespace").read_text().strip()


async def _from_file(settings: Configuration, paths: str, context: str | None) -> str:
    loader: Any = await kubeconfig.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=paths, context=context, client_configuration=settings, persist_config=False
    )
    user = loader._user or {}  # noqa: SLF001 - the library has no other way to ask
    if "exec" in user:
        _check_exec(settings, user, paths)
        settings.refresh_api_key_hook = _renew(loader)
    elif "token" not in user and "tokenFile" in user:
        settings.refresh_api_key_hook = _read_again(_token_file(loader))
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


def _token_file(loader: Any) -> Path:
    # Relative names are relative to the kubeconfig that has them.
    user = loader._user  # noqa: SLF001 - the library has no other way to ask
    return Path(str(loader._get_base_path(user.path))) / str(user["tokenFile"])  # noqa: SLF001


def _read_again(file: Path) -> Any:
    """Return a hook that takes the token from a file; while it cannot be read, the last one holds."""

    def hook(settings: Configuration) -> None:
        with suppress(OSError, ValueError):
            if token := file.read_text().strip():
                settings.api_key["BearerToken"] = f"Bearer {token}"

    return hook


def _renew(loader: Any) -> Any:
    async def hook(settings: Configuration) -> None:
        if hasattr(loader, "exec_plugin_expiry"):
            await loader.load_from_exec_plugin()
            settings.api_key["BearerToken"] = loader.token

    return hook

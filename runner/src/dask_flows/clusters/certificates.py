"""Let a flow's own ``Client()`` prove who it is as the run's client does."""

from typing import Any

_SETTINGS = {
    "tls_ca_file": "distributed.comm.tls.ca-file",
    "tls_client_key": "distributed.comm.tls.client.key",
    "tls_client_cert": "distributed.comm.tls.client.cert",
}


def settings_of(security: Any) -> dict[str, str]:
    """Return Dask's settings for the certificates of a ``Security``; empty if it has none."""
    fields = {key: getattr(security, name, None) for name, key in _SETTINGS.items()}
    return {key: value for key, value in fields.items() if isinstance(value, str)}

"""Check what somebody wants of the Dask client that we make: ``--client-kwargs``."""

import difflib
from collections.abc import Mapping
from typing import Any

from dask_flows.errors import UsageError

FLAG = "--client-kwargs"
ALLOWED = (
    "connection_limit",
    "deserializers",
    "direct_to_workers",
    "heartbeat_interval",
    "name",
    "serializers",
)
_OURS = {
    "address": "name the scheduler with --address",
    "scheduler_file": "name the scheduler with --address",
    "timeout": "use --connect-timeout",
    "set_as_default": "leave it out: Client() and get_client() mean the run's cluster anyway",
    "asynchronous": "leave it out: an async flow gets an asynchronous client",
    "loop": "leave it out",
    "extensions": "make a client of your own in the flow",
}
_SECURITY_ADVICE = (
    "certificates come from Dask's configuration (DASK_DISTRIBUTED__COMM__TLS__CA_FILE and the like), "
    "or from the cluster class itself"
)


def check_client_kwargs(options: Mapping[str, Any], *, mode: str) -> None:
    """Raise UsageError for what we set ourselves and for what no client knows.

    ``security`` is an object: Python can give it, a command line cannot.
    """
    for name, value in options.items():
        if name == "security":
            _check_security(value, mode)
        elif name in _OURS:
            raise UsageError(
                f"{name} of the client is set by dask-flows", where=FLAG, do=_OURS[name]
            )
        elif name not in ALLOWED:
            near = difflib.get_close_matches(name, ALLOWED, n=1, cutoff=0.8)
            do = f"did you mean {near[0]}?" if near else f"there are {', '.join(ALLOWED)}"
            raise UsageError(f"the client has no option {name!r}", where=FLAG, do=do)


def _check_security(value: Any, mode: str) -> None:
    if value is None or isinstance(value, str | int | float | list | Mapping):
        raise UsageError("security cannot be given as JSON", where=FLAG, do=_SECURITY_ADVICE)
    if mode == "local":
        raise UsageError(
            "security is for clusters elsewhere, and mode is local", where=FLAG, do="leave it out"
        )

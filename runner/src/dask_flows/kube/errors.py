"""What the Kubernetes API can answer instead of an object.

    KubeError                   any other refusal, 5xx included
    ├── Unreachable             no answer: network, TLS, time-out
    ├── Unauthorized      401   the credentials are not accepted
    ├── Forbidden         403   a right is missing, or admission refused the object
    │   └── QuotaExceeded 403   a ResourceQuota is used up
    ├── NotFound          404
    ├── Conflict          409   the object has changed since it was read
    │   └── AlreadyExists 409   the name is taken
    ├── Gone              410   the resourceVersion is too old: list again
    ├── Invalid       400 422   the object breaks the schema
    └── TooManyRequests   429   slow down

Policy: this tree replaces the library's errors at the border, with the original chained as the cause.
The API server's own message is kept, since it knows best, but only from a ``Status`` object and only
its first 1,000 characters: other bodies may hold data that has no place in a log. Nothing here decides
about retries; ``retry_after`` is what the server asked for, in seconds, on any answer that carries it,
and at most a minute: a page for hours of maintenance must not keep anybody away once they are over.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from dask_flows.errors import DaskFlowsError

MESSAGE_LIMIT = 1000
RETRY_AFTER_LIMIT = 60.0
REFUSED = 4  # hundred and something
PASSING = frozenset({401, 408, 429})  # a token that is being rotated, or too much at once


class KubeError(DaskFlowsError):
    """The API server refused a request."""

    reason: ClassVar[str] = "KubernetesError"
    status: ClassVar[int] = 0

    def __init__(
        self,
        found: str,
        *,
        where: str = "",
        do: str = "",
        verb: str = "",
        resource: str = "",
        retry_after: float | None = None,
        code: int = 0,
    ) -> None:
        super().__init__(found, where=where, do=do)
        self.code = code or self.status  # 0: there was no answer
        self.verb = verb
        self.resource = resource
        self.retry_after = retry_after

    @property
    def is_refusal(self) -> bool:
        """Whether the API server is well and says no; else it is asked again soon."""
        return self.code // 100 == REFUSED and self.code not in PASSING


class Unreachable(KubeError):
    """The API server did not answer."""


class Unauthorized(KubeError):
    """The API server does not know who is asking."""

    status = 401


class Forbidden(KubeError):
    """A right is missing, or an admission rule refused the object."""

    reason = "Forbidden"
    status = 403


class QuotaExceeded(Forbidden):
    """A ResourceQuota of the namespace is used up."""

    reason = "QuotaExceeded"


class NotFound(KubeError):
    """There is no such object."""

    status = 404


class Conflict(KubeError):
    """The object has changed since it was read."""

    status = 409


class AlreadyExists(Conflict):
    """An object of this name exists."""


class Gone(KubeError):
    """The resourceVersion is too old for a watch or the next page of a list."""

    status = 410


class Garbled(Gone):
    """The watch cannot be read on from here: asked again, it would say the same."""

    status = 0


class Invalid(KubeError):
    """The object breaks the schema or a validation rule."""

    reason = "InvalidSpec"
    status = 422


class TooManyRequests(KubeError):
    """The API server asks us to slow down."""

    status = 429


_BY_STATUS: dict[int, type[KubeError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}
_ADVICE: dict[type[KubeError], str] = {
    Unauthorized: "log in again, or check the kubeconfig",
    Forbidden: "ask for this right, or see which admission rule refused it",
    QuotaExceeded: "wait for other runs, ask for less, or have the quota raised",
}


def error_from(
    code: int,
    payload: Any,
    *,
    verb: str,
    resource: str,
    where: str = "",
    retry_after: Any = None,
) -> KubeError:
    """Return the error for an HTTP status and the ``Status`` object that came with it."""
    status: Mapping[str, Any] = payload if _is_status(payload) else {}
    message = str(status.get("message") or f"HTTP {code}")[:MESSAGE_LIMIT]
    kind = _BY_STATUS.get(code, KubeError)
    if kind is Conflict and status.get("reason") == "AlreadyExists":
        kind = AlreadyExists
    if kind is Forbidden and ("exceeded quota" in message or "failed quota" in message):
        kind = QuotaExceeded
    details = status.get("details")
    if retry_after is None and isinstance(details, Mapping):
        retry_after = details.get("retryAfterSeconds")
    return kind(
        f"Forbidden: {verb} {resource}: {message}" if kind is Forbidden else message,
        where=where,
        do=_ADVICE.get(kind, ""),
        verb=verb,
        resource=resource,
        retry_after=_seconds(retry_after),
        code=code,
    )


def _seconds(value: Any) -> float | None:
    """Return a pause as a header or a field gives it; None for dates and whatever else is no number."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return min(seconds, RETRY_AFTER_LIMIT) if seconds >= 0 else None


def _is_status(payload: Any) -> bool:
    return isinstance(payload, Mapping) and payload.get("kind") == "Status"

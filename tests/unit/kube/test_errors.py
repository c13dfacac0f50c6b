"""Answers of the API server become one error each, with its words, verb and resource."""

import pytest

from dask_flows.kube import errors

STATUS = {"kind": "Status", "message": "m", "reason": "", "details": {"retryAfterSeconds": 7}}


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (400, {}, errors.Invalid),
        (401, {}, errors.Unauthorized),
        (403, {}, errors.Forbidden),
        (403, {"message": "pods is forbidden: exceeded quota: q"}, errors.QuotaExceeded),
        (404, {}, errors.NotFound),
        (409, {"reason": "Conflict"}, errors.Conflict),
        (409, {"reason": "AlreadyExists"}, errors.AlreadyExists),
        (410, {}, errors.Gone),
        (422, {}, errors.Invalid),
        (429, {}, errors.TooManyRequests),
        (500, {}, errors.KubeError),
        (503, {}, errors.KubeError),
    ],
)
def test_each_status_has_its_error(
    code: int, status: dict[str, str], kind: type[errors.KubeError]
) -> None:
    """Exactly this class, not only a subclass."""
    error = errors.error_from(code, STATUS | status, verb="create", resource="pods")

    assert type(error) is kind
    assert (error.verb, error.resource, error.retry_after) == ("create", "pods", 7)


def test_a_missing_right_is_named_first() -> None:
    """``Forbidden: <verb> <resource>`` is what an administrator looks for."""
    error = errors.error_from(403, STATUS, verb="create", resource="jobs.batch")

    assert str(error).startswith("Forbidden: create jobs.batch: m")


def test_only_status_objects_are_quoted() -> None:
    """Another body may hold anything."""
    error = errors.error_from(
        403, {"kind": "Secret", "message": "s3cr3t"}, verb="get", resource="x"
    )

    assert "s3cr3t" not in str(error)


def test_long_messages_are_cut() -> None:
    """A blob in a message does not flood the log."""
    error = errors.error_from(422, STATUS | {"message": "x" * 10**6}, verb="", resource="")

    assert len(str(error)) < 2000


def test_the_header_wins_over_the_body() -> None:
    """``Retry-After`` is what proxies send."""
    error = errors.error_from(429, STATUS, verb="", resource="", retry_after=3)

    assert error.retry_after == 3

"""Rules of secrets: what is called like one is not shown."""

from typing import Any

import pytest

from dask_flows.report.masking import MASK, mask, mask_words


@pytest.mark.parametrize("name", [
    "password", "db_password", "PASSWD", "passphrase", "pwd", "token", "api_token", "accessToken", "secret",
    "clientSecret", "api_key", "apikey", "key", "private-key", "aws.keys", "credentials", "auth", "basic_auth",
    "authorization",
])  # fmt: skip
def test_values_of_secret_names_are_masked(name: str) -> None:
    """At any depth."""
    assert mask({name: "hunter2"}) == {name: MASK}
    assert mask({"db": [{name: {"deep": "hunter2"}}]}) == {"db": [{name: MASK}]}


@pytest.mark.parametrize("value", [
    {"rows": 10, "author": "Ann", "monkey": "Bo", "keyboard": True, "compass": "N", "nested": [1, {"x": None}]},
    {"password": None, "token": "", "use_token": True},
])  # fmt: skip
def test_other_values_stay_as_they_are(value: Any) -> None:
    """Also where there is nothing to hide."""
    assert mask(value) == value


def test_what_is_no_json_is_shown_as_text() -> None:
    """A parameter from Python may be anything."""
    assert mask({"when": {1, 2}}) == {"when": "{1, 2}"}
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    assert "…" in str(mask(deep))


def test_user_and_password_of_an_address_are_masked() -> None:
    """The rest of it helps."""
    assert mask("postgres://me:hunter2@db:5432/x") == f"postgres://{MASK}@db:5432/x"
    assert mask("see https://example.org/a:b@c") == "see https://example.org/a:b@c"


@pytest.mark.parametrize(("words", "kept"), [
    (["python", "job.py", "--fast"], ["python", "job.py", "--fast"]),
    (["job", "--password=hunter2"], ["job", f"--password={MASK}"]),
    (["job", "--api-token", "hunter2", "x"], ["job", "--api-token", MASK, "x"]),
    (["job", "s3://k:hunter2@b"], ["job", f"s3://{MASK}@b"]),
    (["job", "--token"], ["job", "--token"]),
])  # fmt: skip
def test_secrets_of_command_lines_are_masked(words: list[str], kept: list[str]) -> None:
    """Behind the option or behind its equals sign."""
    assert mask_words(words) == kept

"""Rules of secrets: what is called like one is not shown, wherever it stands."""

import time
from typing import Any

import pytest

from dask_flows.masking import MASK, Secrets, is_secret

mask = Secrets().data
PASSWORD = "s3cr3tpw"


@pytest.mark.parametrize("name", [
    "password", "db_password", "PASSWD", "passphrase", "pwd", "token", "api_token", "accessToken", "secret",
    "clientSecret", "api_key", "apikey", "key", "private-key", "aws.keys", "credentials", "auth", "basic_auth",
    "authorization", "PGPASSWORD",
])  # fmt: skip
def test_values_of_secret_names_are_masked(name: str) -> None:
    """At any depth."""
    assert is_secret(name)
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


@pytest.mark.parametrize(("text", "kept"), [
    ("postgres://me:s3cr3tpw@db:5432/x", f"postgres://{MASK}@db:5432/x"),
    ("postgres://me:s3cr3tpw@s3cr3tpw@db/x", f"postgres://{MASK}@db/x"),
    ("postgres://me:a/s3cr3tpw@db/x", f"postgres://{MASK}@db/x"),
    ("postgres://:s3cr3tpw@db/x", f"postgres://{MASK}@db/x"),
    ("cut off: postgres://me:s3cr3t", f"cut off: postgres://{MASK}"),
    ("https://x.org/a?password=s3cr3tpw&b=1", f"https://x.org/a?password={MASK}&b=1"),
    ("cannot reach db with token=s3cr3tpw", f"cannot reach db with token={MASK}"),
    ("connect(url, token='s3cr3tpw x')", f"connect(url, token='{MASK}')"),
    ('{"token": "s3cr3tpw", "rows": 3}', f'{{"token": "{MASK}", "rows": 3}}'),
    (r'{\"token\": \"s3cr3tpw\", \"rows\": 3}', rf'{{\"token\": \"{MASK}\", \"rows\": 3}}'),
    ("{'db_password': 's3cr3tpw'}", f"{{'db_password': '{MASK}'}}"),
    ("PGPASSWORD=s3cr3tpw psql", f"PGPASSWORD={MASK} psql"),
    ("password: s3cr3tpw", f"password: {MASK}"),
    ("Authorization: Bearer s3cr3tpw.x-y", f"Authorization: Bearer {MASK}"),
    ("{'Authorization': 'Basic s3cr3tpw=='}", f"{{'Authorization': 'Basic {MASK}'}}"),
    ("sent bearer s3cr3tpw.abc", f"sent bearer {MASK}"),
    ("curl -u bob:s3cr3tpw http://x", f"curl -u {MASK} http://x"),
    ("curl --user 'bob:s3cr3tpw' http://x", f"curl --user '{MASK}' http://x"),
])  # fmt: skip
def test_secrets_in_texts_are_masked(text: str, kept: str) -> None:
    """The rest of the text helps; masking it again changes nothing."""
    assert Secrets().text(text) == kept
    assert Secrets().text(kept) == kept


@pytest.mark.parametrize(("text", "kept"), [
    ("10: 'no answer with token=s3cr3tpw'", f"10: 'no answer with token={MASK}'"),
    ("ValueError: token=s3cr3tpw", f"ValueError: token={MASK}"),
    ("error=bad:password=s3cr3tpw", f"error=bad:password={MASK}"),
    ("{'url': 'x', 'said': ['token: s3cr3tpw', 3]}", f"{{'url': 'x', 'said': ['token: {MASK}', 3]}}"),
    ('{"error": "refused (api_key=s3cr3tpw)"}', f'{{"error": "refused (api_key={MASK})"}}'),
    (r'{"body": "{\"token\": \"s3cr3tpw x\", \"n\": 1}"}', rf'{{"body": "{{\"token\": \"{MASK}\", \"n\": 1}}"}}'),
    ("{'token': b's3cr3tpw', 'n': 1}", f"{{'token': b'{MASK}', 'n': 1}}"),
    ("{'tokens': ['s3cr3tpw', 'x'], 'n': 1}", f"{{'tokens': {MASK}, 'n': 1}}"),
    ('"credentials": {"user": "ann", "pin": "s3cr3tpw"}, "n": 1', f'"credentials": {MASK}, "n": 1'),
    ("Settings(password=SecretStr('s3cr3tpw'), n=1)", f"Settings(password=SecretStr('{MASK}'), n=1)"),
    ("['job', '--token', 's3cr3tpw', '-v']", f"['job', '--token', '{MASK}', '-v']"),
    ('["--db-password", "s3cr3tpw x"]', f'["--db-password", "{MASK}"]'),
    ("[(b'x-api-key', b's3cr3tpw'), ('a', 'b')]", f"[(b'x-api-key', b'{MASK}'), ('a', 'b')]"),
    ("password: |\n  s3cr3tpw\n  s3cr3tpw\nrows: 3", f"password: {MASK}\nrows: 3"),
    ('    token: str = "s3cr3tpw"', f'    token: str = "{MASK}"'),
    ("db:\n  user: ann\n  password: s3cr3tpw # old\n", f"db:\n  user: ann\n  password: {MASK} # old\n"),
])  # fmt: skip
def test_secrets_inside_of_other_values_are_masked(text: str, kept: str) -> None:
    """In what Python, JSON and YAML write of data, and in the sentences that quote it."""
    assert Secrets().text(text) == kept
    assert Secrets().text(kept) == kept


def test_one_secret_that_is_known_does_not_show_the_others_beside_it() -> None:
    """The values go first; what is left of their list is still below a secret name."""
    known = Secrets({"s3cr3tpw"})
    assert known.text("{'tokens': ['s3cr3tpw', 'other']}") == f"{{'tokens': {MASK}}}"


@pytest.mark.parametrize("value", [
    {"max_tokens": 4096, "tokens": 5, "tokens_per_second": 1.5},
    "tokens=5 processed", "max_tokens: 4096, ok", '{"tokens": 4096}', "--max-tokens=4096",
])  # fmt: skip
def test_counts_of_tokens_are_no_secrets(value: Any) -> None:
    """A number of many is none; what hangs on it must stay readable, too."""
    assert mask(value) == value
    assert (
        Secrets.of({"max_tokens": 4096}, ("job", "--max-tokens", "4096")).text("4096 rows")
        == "4096 rows"
    )
    assert mask({"tokens": ["s3cr3tpw"], "secret_tokens": 4096}) == {
        "tokens": MASK,
        "secret_tokens": MASK,
    }
    assert Secrets().text("tokens=s3cr3tpw token=5") == f"tokens={MASK} token={MASK}"


@pytest.mark.parametrize("text", [
    "see https://example.org/a:b@c", "tcp://127.0.0.1:8786", "tcp://[::1]:8786", "http://host:80/a@b",
    "KeyError: 'x'", "KeyError: x", "if token == 3:", "load-1, inc-2", "at 12:30:00, ratio 3:1", "use_token=True",
    "password=None", "sort -u a", "docker run -u root x", "2026-11-21T07:06:24Z", "monkey=1", "the bearer of it",
    "std::token::x", "10: 'no answer from token service'", "key ('inc', 0) is lost", "['token', 'name', 'rows']",
    "{'a': 'b:c', 'd': \"e=f\"}", "use --token to give one", "rows: |\n  token of thanks", "('rows', 'columns')",
    'File "flow.py", line 3, in main',
])  # fmt: skip
def test_other_texts_stay_as_they_are(text: str) -> None:
    """Addresses, times, code and names that only look alike."""
    assert Secrets().text(text) == text


@pytest.mark.parametrize(("words", "kept"), [
    (["python", "job.py", "--fast"], ["python", "job.py", "--fast"]),
    (["job", "--password=s3cr3tpw"], ["job", f"--password={MASK}"]),
    (["job", "--api-token", "s3cr3tpw", "x"], ["job", "--api-token", MASK, "x"]),
    (["job", "s3://k:s3cr3tpw@b"], ["job", f"s3://{MASK}@b"]),
    (["job", "--token"], ["job", "--token"]),
    (["env", "PGPASSWORD=s3cr3tpw x", "psql"], ["env", f"PGPASSWORD={MASK}", "psql"]),
    (["curl", "-u", "bob:s3cr3tpw", "x"], ["curl", "-u", MASK, "x"]),
    (["docker", "-u", "root", "x"], ["docker", "-u", "root", "x"]),
    (["curl", "-H", "Authorization: Bearer s3cr3tpw"], ["curl", "-H", f"Authorization: Bearer {MASK}"]),
    (["sh", "-c", "cd x; TOKEN=s3cr3tpw job"], ["sh", "-c", f"cd x; TOKEN={MASK} job"]),
    (["sh", "-c", "TOKEN=s3cr3tpw job --n=1"], ["sh", "-c", f"TOKEN={MASK}"]),
    (["job", "--a", "TOKEN=x", "y"], ["job", "--a", f"TOKEN={MASK}", "y"]),
])  # fmt: skip
def test_secrets_of_command_lines_are_masked(words: list[str], kept: list[str]) -> None:
    """Behind the option, its equals sign, or a variable's name."""
    assert Secrets().words(words) == kept


@pytest.mark.parametrize(("parameters", "command", "text"), [
    ({"token": "s3cr3tpw"}, (), "refused for s3cr3tpw, bye"),
    ({"db": {"credentials": ["bob", "s3cr3tpw"]}}, (), "refused for s3cr3tpw, bye"),
    ({"url": "postgres://bob:s3cr3tpw@db"}, (), "refused for s3cr3tpw, bye"),
    ({"pin_token": 48151623}, (), "refused for 48151623, bye"),
    ({"token": 'a b&"é'}, (), "refused for a%20b%26%22%C3%A9, bye"),
    ({"token": 'a b&"é'}, (), 'refused for a b&\\"é, bye'),
    ({}, ("job", "--token", "s3cr3tpw"), "refused for s3cr3tpw, bye"),
    ({}, ("env", "TOKEN=s3cr3tpw"), "refused for s3cr3tpw, bye"),
])  # fmt: skip
def test_values_of_secret_names_are_found_everywhere(
    parameters: dict[str, Any], command: tuple[str, ...], text: str
) -> None:
    """Also where nothing beside them tells, and however they are written."""
    assert Secrets.of(parameters, command).text(text) == f"refused for {MASK}, bye"


def test_short_values_are_not_looked_for() -> None:
    """They are in every text; one that holds another goes first; numbers go, too."""
    assert Secrets.of({"token": "abc"}).text("abcdef") == "abcdef"
    assert Secrets.of({"token": "abcd", "secret": "abcdef"}).text("abcdef") == MASK
    assert Secrets.of({"token": 48151623}).data({"pins": [48151623, 7]}) == {"pins": [MASK, 7]}


@pytest.mark.parametrize("part", [
    "://", "a:b@", "token=", '"', "a", "\\", "x://y:z", "bearer ", "-u a:", "a:'", 'a="', 'a:"\\"', "token: |\n ", "token=[",
    "a: b = ", "x(", "'--token', ", "(b'token', "])  # fmt: skip
def test_strange_texts_take_no_time(part: str) -> None:
    """A message may be long and hold anything; only what would take minutes fails."""
    begun = time.monotonic()
    Secrets.of({"token": "s3cr3tpw"}).text(part * (40_000 // len(part)))
    assert time.monotonic() - begun < 20

"""Rules of the page: sound HTML, nothing from outside, nothing that a user wrote is markup."""

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from dask_flows.report.findings import find
from dask_flows.report.model import Record, Run
from dask_flows.report.page import render

VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = "\"><script>alert('x')</script><img src=https://evil.example/x onerror=alert(1)>`</style>`\u202e\x00"


class Page(HTMLParser):
    """A page taken apart; complains about tags that do not fit."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute of {tag} is there twice"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(params=["fine", "failed", "nothing", "hostile"])
def page(request: pytest.FixtureRequest, record: Record, failed_record: Record) -> str:
    """Return the page of several kinds of runs."""
    nothing = Run(name="x", kind="flow", mode="local", outcome="Failed", reason="BadFlow")
    records = {
        "fine": record,
        "failed": failed_record,
        "nothing": Record(run=nothing),
        "hostile": hostile(failed_record),
    }
    one = records[request.param]
    return render(one, find(one), dask_report="dask-report.html")


def hostile(record: Record) -> Record:
    """Return a record in which everything that users can write is an attack."""
    run = replace(
        record.run, name=HOSTILE, message=HOSTILE, traceback=HOSTILE, reason=HOSTILE, outcome=HOSTILE,
        parameters={HOSTILE: HOSTILE}, result=HOSTILE, address=HOSTILE, tag=HOSTILE, mode=HOSTILE, start=HOSTILE,
        versions={HOSTILE: HOSTILE},
    )  # fmt: skip
    return replace(
        record,
        run=run,
        names=tuple(replace(name, name=HOSTILE + name.name) for name in record.names),
        slowest=tuple(replace(one, name=HOSTILE, key=HOSTILE, worker=HOSTILE) for one in record.slowest),
        failures=tuple(replace(one, name=HOSTILE, key=HOSTILE, message=HOSTILE) for one in record.failures),
        workers=tuple(replace(one, name=HOSTILE) for one in record.workers),
        by_name=replace(record.by_name, series={HOSTILE + k: v for k, v in record.by_name.series.items()}),
        by_worker=replace(record.by_worker, series={HOSTILE: (1.0,)}),
        missing=(HOSTILE,),
        phases=tuple(replace(one, name=HOSTILE) for one in record.phases),
    )  # fmt: skip


def test_the_page_is_sound(page: str) -> None:
    """All tags close, all ids that are named exist, and nothing is scripted but our script."""
    parsed = Page(page)
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in parsed.tags:
        named = attributes.get("aria-labelledby", "").split() + attributes.get("for", "").split()
        assert set(named) <= set(ids)
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    assert len(parsed.all("script")) == 1
    assert not {"img", "iframe", "object", "form", "base"} & {tag for tag, _ in parsed.tags}


def test_the_page_asks_nobody_for_anything(page: str) -> None:
    """Links lead to files beside it; the policy forbids the rest."""
    parsed = Page(page)
    places = [a[n] for _, a in parsed.tags for n in ("href", "src", "action", "data") if n in a]
    assert set(places) <= {"data:,", "run.json", "dask-report.html"}
    css, script = "".join(parsed.texts["style"]), "".join(parsed.texts["script"])
    assert "url(" not in css
    assert "@import" not in css
    assert not re.search(r"fetch|XMLHttp|import\(|eval|innerHTML", script)
    policy = next(a["content"] for a in parsed.all("meta") if "http-equiv" in a)
    assert "default-src 'none'" in policy
    for content in (css, script):
        digest = b64encode(sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_everybody_can_read_it(page: str) -> None:
    """Each drawing has a name and each table heads; the language and the width are said."""
    parsed = Page(page)
    for attributes in parsed.all("svg"):
        # The inner part of a drawing has the name of the whole.
        named = attributes.get("role") == "img" and attributes.get("aria-label")
        assert named or attributes.get("aria-hidden") == "true" or "viewbox" in attributes
    assert len(parsed.texts.get("desc", [])) == sum(
        a.get("role") == "img" for a in parsed.all("svg")
    )
    assert all(attributes.get("scope") == "col" for attributes in parsed.all("th"))
    assert parsed.all("html") == [{"lang": "en"}]
    assert len(parsed.all("h1")) == 1
    assert any(a.get("name") == "viewport" for a in parsed.all("meta"))


def test_no_invisible_character_is_left(page: str) -> None:
    """Not even in a name that wants to look like another."""
    assert not re.search("[\x00-\x08\u202a-\u202e]", page)
    page.encode()


def test_the_page_shows_what_is_known(failed_record: Record) -> None:
    """Everything that the requirement names."""
    page = render(failed_record, find(failed_record))
    for text in (
        "Where the time went", "What ran when", "Workers and memory", "Tasks by name", "Slowest tasks",
        "Failed tasks", "Transfers and disk", "Findings", "FlowFailed: ValueError: no", "Traceback …",
        "3 tasks of <code>inc</code> failed: ValueError(&#x27;seven&#x27;)", "worker-1", "300 MiB",
        "The scheduler did not answer at the end.", "waiting for workers 1.00 s", "dask 2026.8.0",
    ):  # fmt: skip
        assert text in page


def test_sections_without_content_are_left_out(record: Record) -> None:
    """A run that never had a cluster has a short page."""
    page = render(Record(run=record.run), [])
    assert "Tasks by name" not in page
    assert "Workers and memory" not in page
    assert "did not start" in page


def test_a_page_of_many_stays_small(record: Record) -> None:
    """A thousand workers and hundreds of names are no reason for a page that no browser opens."""
    worker, name, line = record.workers[0], record.names[0], record.by_name
    many = replace(
        record,
        workers=tuple(replace(worker, name=f"worker-{n}") for n in range(1000)),
        names=tuple(replace(name, name=f"name-{n}") for n in range(200)),
        by_name=replace(line, series={f"name-{n}": (0.01,) * 240 for n in range(60)}),
        by_worker=replace(line, series={f"worker-{n}": (0.01,) * 240 for n in range(60)}),
        samples=record.samples * 25,
    )
    page = render(many, find(many))
    assert len(page) < 5_000_000
    assert "The first 100 of 1,000 workers" in page

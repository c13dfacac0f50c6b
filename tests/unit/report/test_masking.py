"""Rules of masking a record: no text of it holds a secret, and nothing else changes."""

import html
import json
from dataclasses import replace

import pytest

from dask_flows.masking import MASK, Secrets
from dask_flows.report.findings import find
from dask_flows.report.masking import LONGEST_TEXT, hide, reveals
from dask_flows.report.model import Failure, Record, Task, Timeline
from dask_flows.report.page import render

URL = "postgresql://bob:s3cr3tpw@db/x"
KNOWN = Secrets.of({"token": "hunter22"})


def test_no_text_of_a_record_holds_a_secret(failed_record: Record) -> None:
    """Names, keys, messages, series, notes; so the page's findings and sorted columns do not either."""
    said = f"{URL} and hunter22"
    told = replace(
        failed_record,
        run=replace(failed_record.run, message=said, traceback=said, result={"a": [said]},
                    parameters={"url": URL, "api_token": "x"}, exception=said, name=said, address=said),
        names=tuple(replace(one, name=f"{one.name}-{said}") for one in failed_record.names),
        slowest=(Task(1.0, said, said, said, 0.0),),
        failures=(Failure(1.0, said, said, said, said),),
        workers=tuple(replace(one, name=f"{one.name}-{said}") for one in failed_record.workers),
        by_name=Timeline(width=1.0, series={said: (1.0,)}),
        missing=(said,),
    )  # fmt: skip
    assert json.dumps(told.to_dict([])).count("s3cr3tpw") > 10

    hidden = hide(told, KNOWN)
    findings = find(hidden)
    written = json.dumps(hidden.to_dict([])) + render(hidden, findings) + str(findings)
    assert "s3cr3tpw" not in written
    assert "hunter22" not in written
    assert hidden.run.parameters["api_token"] == MASK
    assert hidden.failures[0].message == f"postgresql://{MASK}@db/x and {MASK}"


def test_a_record_without_secrets_stays_as_it_is(record: Record, failed_record: Record) -> None:
    """Whatever a secret is called: words of our own are not taken for it."""
    assert hide(record, Secrets()).to_dict([]) == record.to_dict([])
    run = hide(failed_record, Secrets({failed_record.run.outcome, failed_record.run.mode})).run
    assert (run.outcome, run.mode) == (failed_record.run.outcome, failed_record.run.mode)


def test_a_secret_that_is_cut_is_masked_whole(record: Record) -> None:
    """So texts are cut when that is done."""
    key = "x" * (LONGEST_TEXT - 4) + "hunter22"
    hidden = hide(replace(record, slowest=(Task(1.0, "x", key, "w", 0.0),)), KNOWN)
    assert hidden.slowest[0].key == "x" * (LONGEST_TEXT - 4) + MASK


def test_names_that_are_the_same_when_masked_stay_two(record: Record) -> None:
    """Nobody's time is lost."""
    series = {"x://a:1aaa@b": (1.0,), "x://a:2bbb@b": (2.0,)}
    hidden = hide(replace(record, by_name=Timeline(series=series)), Secrets())
    assert hidden.by_name.series == {f"x://{MASK}@b": (1.0,), f"x://{MASK}@b (2)": (2.0,)}


@pytest.mark.parametrize(("texts", "shown"), [
    (["inc", "load-1", "3.1", "./profile?key=@name"], False),
    (["inc", URL], True),
    (["inc", "load?password=x1"], True),
    (["a hunter22 b"], True),
])  # fmt: skip
def test_a_page_of_dask_is_searched(texts: list[str], shown: bool) -> None:
    """In the data that it draws, not in its code."""
    data = html.escape(json.dumps({"doc": {"key": texts}}), quote=False)
    page = f'<script>token="x"</script><script type="application/json" id="p1">{data}</script>'
    assert reveals(page, KNOWN) is shown


@pytest.mark.parametrize("page", ["<p>theirs</p>", '<script type="application/json">{</script>'])
def test_a_page_that_cannot_be_searched_is_not_shown(page: str) -> None:
    """It might hold anything."""
    assert reveals(page, Secrets())

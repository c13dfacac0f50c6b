"""Rules of the report in a real browser: it opens without a complaint and shows what it should."""

import os
import re
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from dask_flows.report.model import Record
from dask_flows.report.writing import save

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--enable-logging=stderr", "--v=0", "--virtual-time-budget=5000",
)  # fmt: skip
SECONDS = 120  # a loaded machine starts a browser slowly


@pytest.fixture(scope="module")
def browser() -> str:
    """Return a browser; a machine without one skips, but CI must have one."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        assert os.environ.get("CI") != "true", "CI needs a browser: apt-get install chromium"
        pytest.skip(f"no browser: none of {', '.join(NAMES)}")
    return found


def ask(browser: str, profile: Path, *arguments: str) -> tuple[str, list[str]]:
    """Return what the browser writes, and the lines of the page's console."""
    with subprocess.Popen(
        [browser, *QUIET, f"--user-data-dir={profile}", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as popen:  # fmt: skip
        try:
            out, errors = popen.communicate(timeout=SECONDS)
        finally:
            if popen.poll() is None:
                os.killpg(popen.pid, signal.SIGKILL)
    return out, [line for line in errors.splitlines() if "CONSOLE" in line]


def test_the_console_is_heard(browser: str, tmp_path: Path) -> None:
    """Else silence would prove nothing; the policy of a report stops what it must."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\"><script>alert(1)</script>"
    )
    assert ask(browser, tmp_path / "profile", "--dump-dom", page.as_uri())[1]


@pytest.mark.parametrize("kind", ["fine", "failed"])
def test_a_browser_has_nothing_to_complain_about(
    browser: str, tmp_path: Path, record: Record, failed_record: Record, kind: str
) -> None:
    """Its script runs under its own policy: times are the reader's, tables can be sorted."""
    page = save(tmp_path, record if kind == "fine" else failed_record, dask_report="<p>theirs</p>")
    dom, console = ask(browser, tmp_path / "profile", "--dump-dom", page.as_uri())

    assert console == []
    assert re.search(
        r'<time datetime="2026-11-21T05:00:00Z" title="2026-11-21T05:00:00Z">[^<]*2026', dom
    )
    assert dom.count("<button>") >= 10
    assert dom.count('role="img"') >= 8
    assert ">flow.py:main</h1>" in dom


def test_a_click_on_a_heading_sorts(browser: str, tmp_path: Path, record: Record) -> None:
    """By the numbers behind the cells, not by their text."""
    names = tuple(
        replace(record.names[0], name=f"n{n}", count=n, seconds=seconds)
        for n, seconds in ((9, 0.5), (1000, 0.004), (80, 90.0))
    )
    page = save(tmp_path, replace(record, names=names))
    # The page's own policy forbids a script of ours: this copy has none.
    clicks = '<script>document.querySelectorAll("table")[1].querySelectorAll("button")[%d].click()</script></body>'
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    orders = []
    for column in (1, 2):
        (tmp_path / "copy.html").write_text(text.replace("</body>", clicks % column))
        dom, _ = ask(browser, tmp_path / "profile", "--dump-dom", (tmp_path / "copy.html").as_uri())
        orders.append(re.findall(r'<td class="name short" data-value="(n\d+)"', dom))

    assert orders == [["n1000", "n80", "n9"], ["n80", "n9", "n1000"]]


@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_can_draw_it(
    browser: str, tmp_path: Path, failed_record: Record, width: int
) -> None:
    """Something is on the picture: a white one compresses to almost nothing."""
    page, picture = save(tmp_path, failed_record), tmp_path / "page.png"
    _, console = ask(
        browser, tmp_path / "profile", f"--screenshot={picture}", f"--window-size={width},1600", page.as_uri()
    )  # fmt: skip
    assert console == []
    assert picture.stat().st_size > 40_000

"""Rules of the dashboard that loads when somebody opens it."""

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

PATIENCE = 60.0  # seconds; only a broken program needs them

PRELOAD = "dask_flows.clusters.scheduler_preload"
HIDDEN = "import sys\nsys.modules['bokeh'] = None\n"


def written(file: Path) -> Any:
    """Return what a scheduler has written; None while there is nothing, or not all of it."""
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return None


@pytest.fixture
def scheduler(start: Callable[..., Any], tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Start a scheduler as the chart does; returns its address and its dashboard's."""

    def make(*args: str, first: str = "") -> tuple[str, str]:
        file = tmp_path / "scheduler.json"
        process = start(
            sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0",
            "--dashboard-address", "127.0.0.1:0", *(args or ["--no-dashboard"]),
            "--scheduler-file", str(file), *(("--preload", first) if first else ()), "--preload", PRELOAD,
        )  # fmt: skip
        end = time.monotonic() + PATIENCE
        while (told := written(file)) is None:
            assert process.popen.poll() is None, process.errors
            assert time.monotonic() < end, "the scheduler did not start"
            time.sleep(0.02)
        return told["address"], f"http://127.0.0.1:{told['services']['dashboard']}"

    return make


def get(url: str) -> tuple[int, str]:
    """Return status and text of a page."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def has_bokeh(client: Any) -> bool:
    """Ask the scheduler whether the dashboard is loaded."""
    return bool(client.run_on_scheduler(lambda: "bokeh.server" in sys.modules))


def test_the_first_visitor_loads_it(scheduler: Callable[..., Any]) -> None:
    """A start and its probes do without Bokeh; a page is there when it is asked for."""
    address, pages = scheduler()
    with Client(address, timeout=PATIENCE, set_as_default=False) as client:
        assert get(f"{pages}/health") == (200, "ok")
        assert not has_bokeh(client)

        status, text = get(f"{pages}/")

        assert status == 200
        assert "Dask Diagnostic UI" in text
        assert has_bokeh(client)
        assert get(f"{pages}/individual-task-stream")[0] == 200
        assert get(f"{pages}/no-such-page")[0] == 404


def test_an_image_without_bokeh_has_no_pages(scheduler: Callable[..., Any]) -> None:
    """The rest of the scheduler's HTTP is as it was."""
    _, pages = scheduler(first=HIDDEN)

    assert get(f"{pages}/status")[0] == 404
    assert get(f"{pages}/health") == (200, "ok")


def test_who_asks_for_it_early_gets_it_early(scheduler: Callable[..., Any]) -> None:
    """``--dashboard`` among the extra arguments wins."""
    address, pages = scheduler("--no-dashboard", "--dashboard")
    with Client(address, timeout=PATIENCE, set_as_default=False) as client:
        assert has_bokeh(client)
        assert get(f"{pages}/status")[0] == 200

"""Every example runs unedited on a cluster whose workers do not have its files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dask_flows.run import Request

pytestmark = pytest.mark.processes


EXAMPLES = Path(__file__).parents[3] / "examples"

ROWS = {
    "01-diamond": (["flow.py:diamond"], {}, '"answer": 9900'),
    "02-etl": (["flow.py:etl"], {"rows": 40_000, "parts": 4}, '"rows": 40000'),
    "04-package": (["flow.py:report"], {"circles": 3}, '"area": 43.982'),
    "05-own-image": (["own_flows.words:count"], {}, '["the", 4]'),
    "selftest": (["dask_flows.selftest:diamond"], {}, "9900"),
}


@pytest.mark.parametrize("name", ROWS)
def test_an_example_runs_and_says_who_worked(
    run_here: Callable[..., Any], dask: Any, name: str
) -> None:
    """With its answer."""
    (flow,), parameters, says = ROWS[name]
    folder = EXAMPLES / name

    ran = run_here(
        Request(
            flow=flow,
            parameters=parameters,
            folder=folder if folder.is_dir() else Path.cwd(),
            mode="static",
            address=dask.address,
        )
    )

    assert ran.code == 0, ran.text
    assert says in ran.text
    assert "work done by: pod-" in ran.text


def test_the_script_runs(dask_flows: Callable[..., Any], dask: Any) -> None:
    """As a command."""
    script = str(EXAMPLES / "03-command" / "script.py")

    process = dask_flows("run", "--address", dask.address, "--", "python", script)

    assert process.end() == 0
    assert "sum of squares: 328350" in process.text


@pytest.mark.parametrize("folder", sorted(p.name for p in EXAMPLES.iterdir() if p.is_dir()))
def test_a_readme_shows_both_ways(folder: str) -> None:
    """Here and in the cluster."""
    text = (EXAMPLES / folder / "README.md").read_text()

    assert "dask-flows run" in text
    assert "dask-flows submit" in text

"""Rules of sizing: Dask is always told how many threads and how much memory it has."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.pods import container_of, flag
from chart.render import RenderError, render, values

TABLE = yaml.safe_load((Path(__file__).parents[1] / "data" / "sizing.yaml").read_text())
NO_DEFAULTS = {"requests": None, "limits": None}


def worker(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the worker's container for these settings."""
    rendered = render(values(mode="ephemeral", dask={"worker": settings}))
    return container_of(rendered, "config.yaml/worker")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["name"])
def test_resources_become_flags(row: dict[str, Any]) -> None:
    """The agent applies the same table to FlowRuns that ask for other resources."""
    defaults = {key: {"cpu": None, "memory": None} for key in NO_DEFAULTS}
    asked = {key: {**defaults[key], **row["resources"].get(key, {})} for key in defaults}
    container = worker({"resources": asked, "threads": row.get("threads")})

    assert flag(container, "--nthreads") == str(row["nthreads"])
    assert flag(container, "--memory-limit") == str(row["memoryLimit"])


def test_both_flags_are_given_without_any_resources() -> None:
    """Blocks that are set to null say nothing, and Dask must not count the node's cores."""
    container = worker({"resources": NO_DEFAULTS})

    assert (flag(container, "--nthreads"), flag(container, "--memory-limit")) == ("1", "0")
    assert not container.get("resources", {}).get("limits")


def test_a_memory_limit_of_its_own_wins() -> None:
    """It is passed as it is: Dask has units of its own."""
    assert flag(worker({"memoryLimit": "700MiB"}), "--memory-limit") == "700MiB"
    assert flag(worker({"memoryLimit": "0"}), "--memory-limit") == "0"


@pytest.mark.parametrize("text", ["1GB", "x", "1 Gi", "-1", ""])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """Kubernetes would refuse it later, without the place."""
    with pytest.raises(RenderError, match="/dask/worker/resources/limits/memory"):
        worker({"resources": {"limits": {"memory": text}}})

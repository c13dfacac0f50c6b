"""The agent: turns FlowRuns into attempts, and records how they ended.

``serve`` is what the chart's Deployment runs; everything else is in the modules, from ``main`` down.
"""

from pathlib import Path
from typing import Any


def serve(config: Path, **options: Any) -> int:
    """Run the agent until it is told to stop; ``options`` are ``main.Options``; returns its exit code."""
    from dask_flows.agent.main import Options, main  # noqa: PLC0415 - its imports take a second

    return main(config, Options(**options))

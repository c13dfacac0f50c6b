"""The agent: turns FlowRuns into attempts, and records how they ended.

``serve`` is what the chart's Deployment runs; everything else is in the modules, from ``main`` down.
"""

from pathlib import Path


def serve(config: Path, *, log_level: str = "info") -> int:
    """Run the agent until it is told to stop; returns its exit code."""
    from dask_flows.agent.main import main  # noqa: PLC0415 - its imports take a second

    return main(config, log_level=log_level)

"""Run one flow: leave to start, import, cluster, flow, outcome."""

from dask_flows.run.request import Request, of_attempt
from dask_flows.run.runner import run

__all__ = ["Request", "of_attempt", "run"]

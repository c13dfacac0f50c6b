"""Turn a flow on a laptop into a FlowRun: pack its source, write the request."""

from dask_flows.submission.pack import Source, pack
from dask_flows.submission.request import Request, manifests_for

__all__ = ["Request", "Source", "manifests_for", "pack"]

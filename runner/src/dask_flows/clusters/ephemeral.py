"""The attempt's own cluster: the agent makes it and takes it away."""

from dask_flows.clusters.static import Static

# Its scheduler is one pod that is never restarted: once it is away, it is gone.
PATIENCE = 5.0


class Ephemeral(Static):
    """Connect to the attempt's own scheduler; its death is the attempt's."""

    patience = PATIENCE

"""The one error this program shows to people."""


class ClusterError(Exception):
    """Say what was found, where, and what to do about it.

    `exit_code` is 1 for a failure of the cluster and 2 for a wrong use of this program.
    """

    exit_code = 1

    def __init__(self, found: str, *, where: str = "", do: str = "") -> None:
        place = f" ({where})" if where else ""
        advice = f": {do}" if do else ""
        super().__init__(f"{found}{place}{advice}")


class UsageError(ClusterError):
    """Report a wrong command line or a machine that cannot run the cluster."""

    exit_code = 2

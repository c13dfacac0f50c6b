"""What the workers of a cluster can import of what lies beside a flow."""

from typing import Literal

Reach = Literal["nothing", "folder", "path"]


def reach_of(mode: str, *, mounted: bool) -> Reach:
    """Return whether workers have nothing of it, the flow's folder, or whatever this process imports.

    Worker processes on this machine start with this process's ``sys.path``; an attempt of one's own has
    its source mounted on all its pods.
    """
    if mode == "local":
        return "path"
    return "folder" if mounted else "nothing"

"""What pods leave is found from our own state, never by a name alone."""

from pathlib import Path

import pytest
from onenode import leftovers

SOCKET = Path("/state/containerd.sock")
SHIM = "/cache/bin/containerd-shim-runc-v2"


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        ([SHIM, "-namespace", "k8s.io", "-id", "a", "-address", "/state/containerd.sock"], True),
        ([SHIM, "-address", "/run/containerd/containerd.sock"], False),
        ([SHIM, "-address", "/state/containerd.sock.other"], False),
        (["/bin/sh", "-address", "/state/containerd.sock"], False),
        ([SHIM, "-address"], False),
        ([SHIM], False),
        ([""], False),
    ],
)
def test_a_shim_is_ours_if_it_serves_our_socket(words, ours):
    """Another containerd's shims have the same program name."""
    assert leftovers.serves("\0".join(words).encode(), SOCKET) is ours


def test_mounts_below_the_folder_deepest_first():
    """A mount can only be undone before the one it is in; neighbours are left alone."""
    mountinfo = "\n".join(
        f"1 1 8:1 / {point} rw - ext4 /dev/sda rw"
        for point in (
            "/",
            "/state",
            "/state/a",
            "/state-other/x",
            "/state/a/b",
            r"/state/with\040space",
        )
    )

    assert leftovers.mounts_under(Path("/state"), mountinfo) == [
        "/state/with space",
        "/state/a/b",
        "/state/a",
    ]

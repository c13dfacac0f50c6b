"""Everything is kept under one folder that the environment can move."""

from pathlib import Path

import pytest
from onenode.errors import UsageError
from onenode.paths import from_environ


@pytest.mark.parametrize(
    ("env", "cache", "cluster"),
    [
        ({"HOME": "/h"}, "/h/.cache/dask-flows", "/h/.cache/dask-flows/cluster"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/x/dask-flows", "/x/dask-flows/cluster"),
        ({"HOME": "/h", "DASK_FLOWS_CACHE": "/c"}, "/c", "/c/cluster"),
        ({"DASK_FLOWS_CACHE": "/c", "DASK_FLOWS_CLUSTER": "/s"}, "/c", "/s"),
        (
            {"HOME": "/h", "DASK_FLOWS_CACHE": ""},
            "/h/.cache/dask-flows",
            "/h/.cache/dask-flows/cluster",
        ),
    ],
)
def test_the_environment_decides_where(env, cache, cluster):
    """The more specific variable wins; an empty one is not set."""
    paths = from_environ(env)

    assert (paths.cache, paths.cluster) == (Path(cache), Path(cluster))


def test_a_path_too_long_for_unix_sockets_is_refused():
    """The kubelet would fail late and obscurely; we say it first, with the limit."""
    with pytest.raises(UsageError, match="at most 72 bytes"):
        from_environ({"DASK_FLOWS_CLUSTER": "/" + "x" * 100})

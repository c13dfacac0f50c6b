"""Rules of how a run ends: its reason and what to do about it."""

import pytest

from dask_flows.run.ending import failure


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ValueError("Unexpected keyword arguments: ['n_workers']"), "call Client() without them"),
        (TypeError("Unexpected keyword arguments: ['n_workers']"), "see the traceback above"),
    ],
)
def test_a_program_that_sizes_its_own_cluster_is_told(error: Exception, advice: str) -> None:
    """``Client(n_workers=4)`` is how most examples begin; with an address Dask refuses it."""
    ending = failure(error, "flow.py:main", None, debug=False)

    assert ending.reason == "FlowFailed"
    assert ending.message.endswith(advice)

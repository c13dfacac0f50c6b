"""Signals reach the processes of one container and no others."""

import os
import signal

import pytest

from soak import killing


def test_a_container_that_is_not_there_gets_nothing() -> None:
    """Zero says so; this test would not survive a mistake."""
    assert killing.send("0" * 64, signal.SIGKILL) == 0


@pytest.mark.parametrize("container", ["", "abc"])
def test_what_is_no_container_id_is_refused(container: str) -> None:
    """An empty one would be found in every process."""
    with pytest.raises(AssertionError):
        killing.send(container, signal.SIGKILL)


def test_only_a_first_process_is_one() -> None:
    """This process is not the first of a container; a process that is gone is nobody."""
    assert not killing._is_first(os.getpid())
    assert not killing._is_first(2**22 + 1)

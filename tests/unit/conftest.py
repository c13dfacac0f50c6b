"""What all unit tests need."""

import asyncio

import pytest

# Before looptime moves its clock it looks so often, in vain, whether something has come up: its 42 are half of
# the time that tests of the agent take.
NOOP_CYCLES = 2


def pytest_configure() -> None:
    """Say that plain tests have no event loop.

    looptime asks for the current loop before each test; Python would make one that nobody closes.
    """
    asyncio.set_event_loop(None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let virtual time pass quickly."""
    for item in items:
        if item.get_closest_marker("looptime"):
            item.add_marker(pytest.mark.looptime(noop_cycles=NOOP_CYCLES))

"""One workaround for all tests of the agent."""

import asyncio

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_ambient_loop() -> None:
    """Say that there is no event loop outside tests.

    Otherwise looptime asks asyncio for one around synchronous tests, which makes a loop that nobody
    closes, and a warning is an error here.
    """
    asyncio.set_event_loop(None)

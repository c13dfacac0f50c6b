"""What all unit tests need."""

import asyncio


def pytest_configure() -> None:
    """Say that plain tests have no event loop.

    looptime asks for the current loop before each test; Python would make one that nobody closes.
    """
    asyncio.set_event_loop(None)

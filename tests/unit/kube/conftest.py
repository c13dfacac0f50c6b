"""What the tests against a misbehaving server share."""

from collections.abc import AsyncIterator

import pytest

from fakes.hostile import (
    Hostile,
    serving,
)


@pytest.fixture
async def server() -> AsyncIterator[Hostile]:
    """Return a server that behaves until it is told otherwise."""
    async with serving() as server:
        yield server

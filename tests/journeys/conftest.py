"""One stack as the product runs it, for whole journeys."""

from collections.abc import AsyncIterator

import pytest

from devstack.chaos import Arena, arena, chaos_stack


@pytest.fixture(scope="session")
async def journeys() -> AsyncIterator[Arena]:
    with chaos_stack() as stack:
        async with arena(stack) as opened:
            yield opened

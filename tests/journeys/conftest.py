"""A whole stack for whole journeys."""

from collections.abc import AsyncIterator

import pytest

from devstack.chaos import Arena, arena, chaos_stack


@pytest.fixture(scope="module")
async def journeys() -> AsyncIterator[Arena]:
    with chaos_stack() as stack:
        async with arena(stack) as opened:
            yield opened

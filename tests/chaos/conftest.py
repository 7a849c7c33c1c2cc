"""A stack whose workers die where they are told."""

from collections.abc import AsyncIterator

import pytest

from devstack.chaos import Arena, arena, chaos_stack


@pytest.fixture(scope="module")
async def chaos() -> AsyncIterator[Arena]:
    with chaos_stack() as stack:
        async with arena(stack) as opened:
            yield opened

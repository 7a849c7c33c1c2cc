"""What texts must look like: every pattern that the API names is told in words too."""

from collections.abc import Iterator
from typing import Any

import httpx

from starter.api import patterns


async def test_every_pattern_of_the_api_has_its_words(storefront: httpx.AsyncClient) -> None:
    described = (await storefront.get("/openapi.json")).json()

    assert set(_patterns(described)) <= set(patterns.IN_WORDS)


def _patterns(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("pattern"), str):
            yield part["pattern"]
        for value in part.values():
            yield from _patterns(value)
    elif isinstance(part, list):
        for value in part:
            yield from _patterns(value)

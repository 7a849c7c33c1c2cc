"""News as it happens, over a real socket: nothing missed, nothing twice, and one look for everybody."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError

from starter.api import live
from starter.api.live import Watch
from tests.starter.views import TOKEN
from tests.starter.world import World, an_open_order

ORDER = "/v1/orders/SO-10483/events"
TRACK = f"/v1/track/{TOKEN}/events"
SOON = 5.0


@dataclass
class Stream:
    """An open stream, read block by block."""

    response: httpx.Response
    lines: AsyncIterator[str]

    async def block(self) -> dict[str, str]:
        """Return the next event's fields, or a comment's under the name of the empty field."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(SOON):
            async for line in self.lines:
                if not line and fields:
                    return fields
                name, _, value = line.partition(": ")
                fields[name] = value
        raise AssertionError("the stream ended")

    async def event(self) -> dict[str, str]:
        """Return the next block that is an event."""
        while "data" not in (block := await self.block()):
            pass
        return block


@asynccontextmanager
async def stream(url: str, path: str, *, after: int | None = None) -> AsyncIterator[Stream]:
    headers = {"Authorization": "Bearer storefront-key", "Accept": "text/event-stream"}
    if after is not None:
        headers["Last-Event-ID"] = str(after)
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=SOON) as client,
        client.stream("GET", path, headers=headers) as response,
    ):
        yield Stream(response=response, lines=response.aiter_lines())


async def test_a_stream_begins_with_what_happened_and_goes_on_with_what_happens(
    served_at: str, world: World
) -> None:
    an_open_order(world.books)

    async with stream(served_at, ORDER) as events:
        assert events.response.headers["content-type"].startswith("text/event-stream")
        assert events.response.headers["cache-control"] == "no-store"
        assert events.response.headers["x-accel-buffering"] == "no"
        assert (await events.block()) == {"retry": "2000"}
        first, second = await events.event(), await events.event()
        world.books.happen("SO-10483", "Your parcel is packed.")
        third = await events.event()

    assert [one["id"] for one in (first, second, third)] == ["11", "12", "15"]
    assert first["event"] == "received"
    assert json.loads(third["data"])["text"] == "Your parcel is packed."


async def test_a_cut_stream_goes_on_where_it_was_cut(served_at: str, world: World) -> None:
    an_open_order(world.books)
    async with stream(served_at, ORDER, after=11) as events:
        last_seen = int((await events.event())["id"])
    world.books.happen("SO-10483", "one")
    world.books.happen("SO-10483", "two")

    async with stream(served_at, ORDER, after=last_seen) as events:
        missed = [json.loads((await events.event())["data"])["text"] for _ in range(2)]

    assert last_seen == 12
    assert missed == ["one", "two"]


async def test_a_quiet_stream_says_that_it_is_still_there(served_at: str, world: World) -> None:
    an_open_order(world.books)

    async with stream(served_at, ORDER, after=12) as events:
        await events.block()
        ping = await events.block()

    assert ping == {"": "ping"}


async def test_however_many_watch_one_look_serves_them_all(
    app: FastAPI, served_at: str, world: World
) -> None:
    an_open_order(world.books)
    watch: Watch = app.state.watch

    async with (
        stream(served_at, ORDER, after=12) as one,
        stream(served_at, ORDER, after=12) as two,
        stream(served_at, TRACK + "?after=12") as three,
    ):
        for each in (one, two, three):
            await each.block()
        while watch.watchers < 3:
            await asyncio.sleep(0.01)
        before = world.books.head_queries
        await asyncio.sleep(0.3)
        looked = world.books.head_queries - before
        world.books.happen("SO-10483", "Your parcel is packed.")
        heard = [(await each.event())["id"] for each in (one, two, three)]

    assert heard == ["15", "15", "15"]
    assert 1 <= looked <= 16  # every 20 ms at most, not three times that


async def test_nobody_looks_while_nobody_watches(app: FastAPI, served_at: str, world: World) -> None:
    an_open_order(world.books)
    watch: Watch = app.state.watch
    async with stream(served_at, ORDER) as events:
        await events.event()

    async with asyncio.timeout(SOON):
        while watch.watchers:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    before = world.books.head_queries
    await asyncio.sleep(0.2)

    assert world.books.head_queries == before


async def test_a_tracking_stream_tells_the_state_and_nothing_personal(served_at: str, world: World) -> None:
    an_open_order(world.books)

    async with stream(served_at, TRACK + "?after=12") as events:
        await events.block()
        world.books.happen("SO-10483", "Your parcel is packed.")
        state = await events.event()

    assert (state["event"], state["id"]) == ("state", "15")
    assert json.loads(state["data"])["updates"][0]["text"] == "Your parcel is packed."
    assert "Haddad" not in state["data"]


async def test_a_stream_outlives_a_database_that_goes_away(
    served_at: str, world: World, monkeypatch: Any
) -> None:
    monkeypatch.setattr(live, "_TROUBLE_PAUSE", 0.05)
    an_open_order(world.books)
    heads = world.books.heads
    gone = OperationalError("SELECT", {}, Exception("gone"))

    def away(order_ids: Any) -> Any:
        if world.books.away:
            raise world.books.away
        return heads(order_ids)

    async with stream(served_at, ORDER, after=12) as events:
        await events.block()
        monkeypatch.setattr(world.books, "heads", away)
        world.books.away = gone
        await asyncio.sleep(0.2)
        world.books.away = None
        world.books.happen("SO-10483", "Back again.")
        event = await events.event()

    assert event["id"] == "15"


async def test_too_many_watchers_are_asked_to_come_back(
    storefront: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_WATCHERS", 0)
    an_open_order(world.books)

    response = await storefront.get(ORDER, headers={"Accept": "text/event-stream"})

    assert response.status_code == 503
    assert response.headers["retry-after"]


async def test_streams_end_by_themselves_when_the_server_stops(
    app: FastAPI, served_at: str, world: World
) -> None:
    an_open_order(world.books)
    watch: Watch = app.state.watch

    async with stream(served_at, ORDER, after=12) as events:
        await events.block()
        while not watch.watchers:
            await asyncio.sleep(0.01)
        await watch.close()
        with pytest.raises(AssertionError, match="the stream ended"):
            await events.event()

    assert watch.watchers == 0

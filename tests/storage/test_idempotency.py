"""Keys of requests: one key, one body, one answer, for one owner and one route."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from fulfillment.storage.idempotency import IdempotencyKeys, InProgress, Mismatch, New, Replay
from tests.storage.house import House

THIS = ("web", "POST /v1/orders", "k-1")


def keys_of(house: House) -> IdempotencyKeys:
    return IdempotencyKeys(house.engine, house.now)


def test_an_answered_request_is_answered_the_same_again(engine: Engine) -> None:
    keys = keys_of(House(engine))
    first = keys.begin(*THIS, "hash")
    keys.finish(*THIS, status=201, answer={"order_id": "SO-1", "short": []})

    again = keys.begin(*THIS, "hash")

    assert first == New()
    assert again == Replay(201, {"order_id": "SO-1", "short": []})


def test_a_key_used_for_another_body_is_refused(engine: Engine) -> None:
    keys = keys_of(House(engine))
    keys.begin(*THIS, "hash")
    running = keys.begin(*THIS, "other")
    keys.finish(*THIS, status=201, answer={})

    answered = keys.begin(*THIS, "other")

    assert running == answered == Mismatch()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_another_owner_route_or_key_is_another_request(engine: Engine, place: int) -> None:
    keys = keys_of(House(engine))
    other = tuple("other" if n == place else part for n, part in enumerate(THIS))
    keys.begin(*THIS, "hash")
    keys.finish(*THIS, status=201, answer={"for": "the first"})

    begun = keys.begin(*other, "hash")
    keys.finish(*other, status=409, answer={"for": "the other"})

    assert begun == New()
    assert keys.begin(*THIS, "hash") == Replay(201, {"for": "the first"})
    assert keys.begin(*other, "hash") == Replay(409, {"for": "the other"})


def test_of_many_at_once_one_goes_on(engine: Engine) -> None:
    keys = keys_of(House(engine))

    with ThreadPoolExecutor(6) as clients:
        begun = list(clients.map(lambda _: keys.begin(*THIS, "hash"), range(12)))

    assert begun.count(New()) == 1
    assert begun.count(InProgress()) == 11


def test_an_abandoned_request_may_be_asked_anew(engine: Engine) -> None:
    keys = keys_of(House(engine))
    keys.begin(*THIS, "hash")
    keys.abandon(*THIS)

    again = keys.begin(*THIS, "another body")

    assert again == New()


def test_an_answer_cannot_be_abandoned_or_changed(engine: Engine) -> None:
    keys = keys_of(House(engine))
    keys.begin(*THIS, "hash")
    keys.finish(*THIS, status=201, answer={"n": 1})

    keys.abandon(*THIS)
    keys.finish(*THIS, status=500, answer={"n": 2})

    assert keys.begin(*THIS, "hash") == Replay(201, {"n": 1})


def test_a_request_whose_process_died_may_be_taken_over_after_a_minute(engine: Engine) -> None:
    house = House(engine)
    keys = keys_of(house)
    keys.begin(*THIS, "hash")
    house.wait(timedelta(seconds=59))
    early = keys.begin(*THIS, "hash")
    house.wait(timedelta(seconds=1))

    taken_over = keys.begin(*THIS, "hash")

    assert early == InProgress()
    assert taken_over == New()
    assert keys.begin(*THIS, "hash") == InProgress()

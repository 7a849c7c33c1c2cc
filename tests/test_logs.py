"""Logs: readable, with the order's id, and without anybody's address or card."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from fulfillment import logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_machines_get_one_json_object_per_line_with_the_ids_bound_around_it() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)

    with logs.about(order_id="SO-1"):
        structlog.stdlib.get_logger("here").info("packed", parcel_id="SO-1-P1")
    logging.getLogger("there").warning("plain %s", "words")

    packed, plain = lines(stream)
    assert (packed["event"], packed["order_id"], packed["parcel_id"]) == ("packed", "SO-1", "SO-1-P1")
    assert (packed["level"], packed["logger"]) == ("info", "here")
    assert (plain["event"], plain["level"]) == ("plain words", "warning")
    assert "order_id" not in plain


def test_people_get_text() -> None:
    stream = Terminal()
    logs.configure(stream=stream)

    structlog.stdlib.get_logger("here").info("packed")

    assert "packed" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_addresses_and_cards_are_hidden_wherever_they_stand() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)

    structlog.stdlib.get_logger("here").warning(
        "mail to ada.l+x@example.com failed",
        card="4242 4242 4242 4242",
        nested={"to": ["bob@example.org"], "n": 4242424242424242, "why": ValueError("c@d.example")},
    )

    text = stream.getvalue()
    assert "example" not in text
    assert "42424242" not in text.replace(" ", "")
    (line,) = lines(stream)
    assert line["event"] == "mail to [e-mail] failed"
    assert line["card"] == "[card]"


def test_tracebacks_are_hidden_too() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)

    try:
        raise ValueError("no such user: ada@example.com")
    except ValueError:
        logging.getLogger("there").exception("oh")

    (line,) = lines(stream)
    assert "ValueError: no such user: [e-mail]" in line["exception"]


@pytest.mark.parametrize(
    "number", ["9400100000000000000000", "SO-4242424242424242", "4242424242424243", "1700000000000"]
)
def test_numbers_that_are_no_cards_stay_readable(number: str) -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)

    logging.getLogger("there").info("number %s", number)

    assert number in stream.getvalue()

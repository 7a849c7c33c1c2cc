"""JSON Lines: the body of POST /v1/orders, one a line."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulfillment.domain.address import Address
from fulfillment.domain.order import Customer, Order, OrderLine
from starter.imports import json_lines
from starter.imports.entries import BadRow, Entry, FoundOrder
from starter.imports.rows import Lines

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


def a_body(**changes: Any) -> dict[str, Any]:
    body = {
        "order_id": "SO-10483",
        "customer": {"id": "cus_4103", "email": "noor@example.com"},
        "lines": [{"sku": "TEE-BLK-M", "name": "Organic tee", "quantity": 2, "unit_price": 2400}],
        "currency": "USD",
        "total": 4800,
        "ship_to": {"name": "Noor Haddad", "line1": "103 Main St", "city": "Boise", "country": "US"},
        "payment": {"method": "pm_card_visa"},
    }
    return {name: value for name, value in (body | changes).items() if value is not None}


def read(*lines: str | bytes) -> list[Entry]:
    content = b"\n".join(line.encode() if isinstance(line, str) else line for line in lines)
    return list(json_lines.orders(Lines(io.BytesIO(content), "orders.jsonl"), now=NOW))


def test_a_line_is_the_order_that_the_api_would_have_placed() -> None:
    (entry,) = read(json.dumps(a_body()))

    assert isinstance(entry, FoundOrder)
    assert (entry.order.order_id, entry.order.total, entry.order.placed_at) == ("SO-10483", 4800, NOW)
    assert entry.order.ship_to.city == "Boise"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "Invalid JSON"),
        ("[]", "should be an object"),
        (json.dumps(a_body(order_id=None)), "order_id is missing"),
        (json.dumps(a_body(total=4801)), "add up to 4800, not 4801"),
        (json.dumps(a_body(surprise=1)), "surprise: Extra inputs are not permitted"),
        (json.dumps(a_body(currency="dollars")), "currency:"),
        (json.dumps(a_body(lines=[])), "lines:"),
        (json.dumps(a_body(note="4242 4242 4242 4242")), "card number"),
        (json.dumps(a_body()).encode("utf-16-le"), "control character"),
        (json.dumps(a_body(note="Bogotá"), ensure_ascii=False).encode("latin-1"), "is not UTF-8"),
    ],
)
def test_a_broken_line_is_told_and_the_rest_goes_on(line: str | bytes, why: str) -> None:
    bad, good = read(line, json.dumps(a_body()))

    assert isinstance(bad, BadRow)
    assert bad.line == 1
    assert why in bad.why
    assert "4242" not in bad.why
    assert isinstance(good, FoundOrder)


def test_many_complaints_about_one_line_are_cut_short() -> None:
    (bad,) = read('{"order_id": "SO-1"}')

    assert isinstance(bad, BadRow)
    assert bad.subject == "SO-1"
    assert bad.why.endswith("; and 3 more")


def test_empty_lines_are_passed_over() -> None:
    entries = read("", json.dumps(a_body()), "  ", "")

    assert [entry.line for entry in entries] == [2]


words = st.text("abcdefghijklmnopqrstuvwxyzåéßИ字 .'-", min_size=1, max_size=30).filter(
    lambda t: t == t.strip()
)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """Any order that the API would take."""
    count = draw(st.integers(1, 4))
    lines = tuple(
        OrderLine(
            line_no=n,
            sku=draw(st.text("ABC123-", min_size=1, max_size=12)),
            name=draw(words),
            quantity=(quantity := draw(st.integers(1, 50))),
            unit_price=(price := draw(st.integers(0, 10_000))),
            discount=draw(st.integers(0, quantity * price)),
            tax=draw(st.integers(0, 500)),
        )
        for n in range(1, count + 1)
    )
    fee = draw(st.integers(0, 5_000))
    order_id = draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True))
    return Order(
        order_id=order_id,
        external_ref=order_id,
        channel="storefront",
        customer=Customer(customer_id="cus_1", email="noor@example.com"),
        lines=lines,
        currency=draw(st.sampled_from(["USD", "JPY", "KWD"])),
        total=sum(line.goods + line.tax for line in lines) + fee,
        shipping_fee=fee,
        ship_to=Address(name=draw(words), line1=draw(words), city=draw(words), country="DE"),
        payment_method="pm_card_visa",
        placed_at=NOW,
        note=draw(words),
    ).checked()


def as_line(order: Order) -> str:
    """Write an order as the body of POST /v1/orders."""
    where = order.ship_to
    return json.dumps(
        {
            "order_id": order.order_id,
            "external_ref": order.external_ref,
            "channel": order.channel,
            "customer": {"id": order.customer.customer_id, "email": order.customer.email},
            "lines": [
                {
                    "sku": line.sku,
                    "name": line.name,
                    "quantity": line.quantity,
                    "unit_price": line.unit_price,
                    "discount": line.discount,
                    "tax": line.tax,
                }
                for line in order.lines
            ],
            "currency": order.currency,
            "total": order.total,
            "shipping_fee": order.shipping_fee,
            "ship_to": {
                "name": where.name,
                "line1": where.line1,
                "city": where.city,
                "country": where.country,
            },
            "payment": {"method": order.payment_method},
            "note": order.note,
        },
        ensure_ascii=False,
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(orders(), max_size=4))
def test_orders_written_as_lines_are_read_back_as_they_were(written: list[Order]) -> None:
    entries = read(*(as_line(order) for order in written))

    assert [entry.order for entry in entries if isinstance(entry, FoundOrder)] == written


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_told_line_by_line_and_never_ends_the_reading(noise: bytes) -> None:
    entries = read(noise.replace(b"\xff\xfe", b"").replace(b"\xfe\xff", b""), json.dumps(a_body()))

    assert isinstance(entries[-1], FoundOrder | BadRow)

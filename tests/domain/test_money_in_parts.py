"""Whatever an order is taken and given back in, the parts are the whole to the last minor unit."""

from hypothesis import given
from hypothesis import strategies as st

from fulfillment.domain.address import Address
from fulfillment.domain.money import exponent
from fulfillment.domain.order import Customer, Order, OrderLine, UnitRange
from fulfillment.providers.payments.stripe.codes import from_stripe, to_stripe
from tests.domain.audited_world import NOW

HOME = Address(name="Ann", line1="1 Main St", city="Reno", country="US")
CURRENCIES = ("JPY", "EUR", "BHD", "ISK", "UGX")  # exponents 0, 2, 3, and two that Stripe counts otherwise


@st.composite
def carts(draw: st.DrawFn) -> Order:
    """Return a valid order with odd taxes, discounts and a fee."""
    lines = []
    for n in range(1, draw(st.integers(1, 4)) + 1):
        quantity, price = draw(st.integers(1, 7)), draw(st.integers(0, 99_999))
        discount = draw(st.integers(0, quantity * price))
        tax = draw(st.integers(0, 9_999))
        line = OrderLine(
            line_no=n, sku=f"S{n}", name="x", quantity=quantity, unit_price=price, discount=discount, tax=tax
        )
        lines.append(line)
    fee = draw(st.integers(0, 2_000))
    return Order(
        order_id="SO-1",
        channel="web",
        customer=Customer(customer_id="C-1", email="ann@example.com"),
        lines=tuple(lines),
        currency=draw(st.sampled_from(CURRENCIES)),
        total=sum(line.value for line in lines) + fee,
        shipping_fee=fee,
        ship_to=HOME,
        payment_method="pm",
        placed_at=NOW,
    ).checked()


@st.composite
def divided(draw: st.DrawFn) -> tuple[Order, list[list[UnitRange]]]:
    """Return an order and its units in groups: shipments to capture, or refunds to give back."""
    order, groups = draw(carts()), draw(st.integers(1, 5))
    parts: list[list[UnitRange]] = [[] for _ in range(groups)]
    for line in order.lines:
        for unit in range(1, line.quantity + 1):
            parts[draw(st.integers(0, groups - 1))].append(
                UnitRange(line_no=line.line_no, first=unit, count=1)
            )
    return order, parts


@given(divided())
def test_p30_what_is_captured_shipment_by_shipment_is_the_total(
    case: tuple[Order, list[list[UnitRange]]],
) -> None:
    """Attacks: money goes to units once (`part_of`). Rounding each part by itself loses or makes minor units."""
    order, parts = case
    assert sum(order.worth(tuple(part)) for part in parts) == order.total


@given(divided())
def test_p31_refunds_of_units_add_up_to_the_cent_and_none_is_blocked(
    case: tuple[Order, list[list[UnitRange]]],
) -> None:
    """Attacks: the same, for what goes back: no refund finds less left than it is worth, and nothing stays."""
    order, parts = case
    left = order.total
    for part in parts:
        worth = order.worth(tuple(part))
        assert 0 <= worth <= left
        left -= worth
    assert left == 0


@given(st.integers(0, 2_000_000), st.sampled_from(CURRENCIES))
def test_p32_an_amount_is_the_same_there_and_back_whatever_its_decimals(minor: int, currency: str) -> None:
    """Attacks: the adapter's own table of exponents. A plain times hundred is wrong for four of these five."""
    exact = minor - minor % 10 if exponent(currency) == 3 else minor
    assert from_stripe(to_stripe(exact, currency), currency) == exact

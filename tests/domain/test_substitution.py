"""Which equals are sent instead of what is not there, and what they cost."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment.domain.address import Address
from fulfillment.domain.order import Customer, Order, OrderLine, UnitRange
from fulfillment.domain.substitution import Equal, instead, without

CUP = Equal(sku="CUP", name="Cup", price=1000)
BOWL = Equal(sku="BOWL", name="Bowl", price=9000)


MUGS = OrderLine(line_no=1, sku="MUG", name="Mug", quantity=4, unit_price=1200)
TEAS = OrderLine(line_no=2, sku="TEA", name="Tea", quantity=2, unit_price=500)
HOME = Address(name="Ann Example", line1="1 Main St", city="Reno", region="NV", country="US")


def an_order(*lines: OrderLine) -> Order:
    return Order(
        order_id="SO-1",
        channel="web",
        customer=Customer(customer_id="c-1", email="ann@example.com"),
        lines=lines,
        currency="USD",
        total=sum(line.value for line in lines),
        ship_to=HOME,
        payment_method="pm_1",
        placed_at=datetime(2026, 11, 23, tzinfo=UTC),
    )


def some(first: int, count: int, line_no: int = 1) -> UnitRange:
    return UnitRange(line_no=line_no, first=first, count=count)


def test_what_is_listed_first_is_taken_first_and_never_twice() -> None:
    order = an_order(MUGS, TEAS)
    listed = {"MUG": [CUP, BOWL], "TEA": [CUP]}

    made = instead(order, [some(2, 3), some(1, 2, line_no=2)], listed, {"CUP": 2, "BOWL": 5})

    assert [(one.line.line_no, one.line.sku, one.units) for one in made] == [
        (3, "CUP", some(2, 2)),
        (4, "BOWL", some(4, 1)),
    ]
    assert without([some(2, 3), some(1, 2, line_no=2)], made) == (some(1, 2, line_no=2),)


def test_where_only_a_part_is_there_the_last_units_stay_missing() -> None:
    made = instead(an_order(MUGS), [some(1, 4)], {"MUG": [CUP]}, {"CUP": 3})

    assert without([some(1, 4)], made) == (some(4, 1),)


@pytest.mark.parametrize(
    ("price", "costs"), [(600, 3 * 600 - 75 + 111), (1200, 3450 + 222), (9000, 3450 + 222)]
)
def test_discount_and_tax_go_with_the_price(price: int, costs: int) -> None:
    line = OrderLine(line_no=1, sku="MUG", name="Mug", quantity=3, unit_price=1200, discount=150, tax=222)
    order = an_order(line)

    (made,) = instead(order, [some(1, 3)], {"MUG": [replace(CUP, price=price)]}, {"CUP": 9})

    assert made.line.value == costs


amounts = st.integers(0, 10**6)


@given(
    quantity=st.integers(1, 50),
    price=amounts,
    off=st.floats(0, 1),
    tax=amounts,
    shipping=amounts,
    equal=amounts,
    data=st.data(),
)
def test_an_equal_never_costs_more_and_ships_for_what_was_paid(
    quantity: int, price: int, off: float, tax: int, shipping: int, equal: int, data: st.DataObject
) -> None:
    line = OrderLine(
        line_no=1,
        sku="MUG",
        name="Mug",
        quantity=quantity,
        unit_price=price,
        discount=int(price * quantity * off),
        tax=tax,
        shipping_share=shipping,
    )
    first = data.draw(st.integers(1, quantity))
    units = some(first, data.draw(st.integers(1, quantity - first + 1)))
    order = an_order(line)

    (made,) = instead(order, [units], {"MUG": [replace(CUP, price=equal)]}, {"CUP": 99})

    before = order.worth((units,))
    assert made.line.value <= before
    assert equal < price or made.line.value == before
    assert min(made.line.goods, made.line.discount, made.line.tax) >= 0
    assert made.line.shipping_share == sum(
        replace(line, unit_price=0, discount=0, tax=0).worth(first=n, count=1)
        for n in range(units.first, units.first + units.count)
    )

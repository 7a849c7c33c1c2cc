"""What people read of an order who may not read its amounts."""

import pytest

from fulfillment.domain.money import without_amounts


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("We charged 178.00 USD for what has left.", "We charged the amount for what has left."),
        (
            "We released the 5.00 USD that your bank had set aside.",
            "We released the amount that your bank had set aside.",
        ),
        ("Added: 1 × Mug. 12.00 USD more to pay.", "Added: 1 × Mug."),
        ("We returned 1200 JPY to you.", "We returned 1200 JPY to you."),
        ("Your parcel is packed.", "Your parcel is packed."),
    ],
)
def test_amounts_in_the_orders_currency_are_left_out(text: str, left: str) -> None:
    assert without_amounts(text, "USD") == left

"""Carriers' prices, which come as decimals in the currency's main unit."""

from decimal import ROUND_CEILING, Decimal

from fulfillment.domain.money import exponent


def minor_units(price: str | float, currency: str) -> int:
    """Return a price such as "6.07" in minor units. What is finer is rounded up: a cost is never understated."""
    return int(Decimal(str(price)).scaleb(exponent(currency)).to_integral_value(ROUND_CEILING))

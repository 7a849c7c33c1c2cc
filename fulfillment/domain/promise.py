"""The date we tell the customer, and how late is late."""

from datetime import date, datetime, timedelta

from fulfillment.domain.policy import Policy


def promised(*, now: datetime, abroad: bool, waits_for_stock: bool, policy: Policy) -> date:
    """Return the day by which the order should arrive: handling, the wait for stock, then transit."""
    leaves = now + policy.handling
    if waits_for_stock:
        leaves += timedelta(days=policy.backorder_days)
    days = policy.transit_days_abroad if abroad else policy.transit_days
    return next_business_day((leaves + timedelta(days=days)).date())


def ship_by(*, now: datetime, policy: Policy) -> datetime:
    """Return the instant by which a shipment must have left."""
    return now + policy.ship_within


def next_business_day(day: date) -> date:
    """Return `day`, or the Monday after it when it is a weekend's."""
    return day + timedelta(days=max(0, 7 - day.weekday())) if day.weekday() >= 5 else day

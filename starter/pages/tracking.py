"""The customer's page: where the order is, in a sentence with a date; from storage alone, complete without scripts."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Response
from fastapi.responses import HTMLResponse

from fulfillment.domain.explanation import wants_payment
from fulfillment.domain.headline import Headline, headline, shipment_headline, why_late
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.stage import Stage
from fulfillment.domain.view import EventView, OrderView, ParcelView, ShipmentSummary
from starter.access import anyone
from starter.api.problems import Problem
from starter.api.schemas import ItemOut, items, newest_first
from starter.doors import Doors, Standing, tracked
from starter.pages.links import carrier_url
from starter.pages.rendering import page

router = APIRouter(include_in_schema=False, dependencies=[Depends(anyone)])

STEPS: Final = ("Ordered", "Packed", "On its way", "Out for delivery", "Delivered")
_REACHED: Final = {
    Stage.PACKED: 1,
    Stage.IN_TRANSIT: 2,
    Stage.RETURNED: 2,
    Stage.LOST: 2,
    Stage.OUT_FOR_DELIVERY: 3,
    Stage.DELIVERED: 4,
}

Token = Annotated[str, Path()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One part of the order: a parcel, or what will become one."""

    name: str
    news: Headline
    reached: int
    items: list[ItemOut]
    carrier: str
    number: str
    number_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromisedDay:
    """A day that was promised, since when, and why it was another one than before."""

    day: date
    at: datetime
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that the tracking page shows."""

    order_id: str
    shop: str
    news: Headline
    parts: str
    pay_url: str
    pay_text: str
    cards: list[Card]
    city: str
    promises: list[PromisedDay]
    updates: list[EventView]
    seq: int
    as_of: datetime


@router.get("/t/{token}", response_class=HTMLResponse)
def tracking(token: Token, doors: Standing) -> Response:
    """Show the order to whoever holds its link."""
    return _shown("tracking/page.html", token, doors)


@router.get("/t/{token}/now", response_class=HTMLResponse)
def fragment(token: Token, doors: Standing) -> Response:
    """Give the part of the page that changes, to be swapped in."""
    return _shown("tracking/order.html", token, doors)


def _shown(template: str, token: str, doors: Doors) -> Response:
    try:
        view = tracked(doors, token)
    except Problem:
        return page("tracking/nothing.html", status=404, shop=doors.shop_name)
    return page(template, order=page_of(view, shop=doors.shop_name, now=doors.now()), steps=STEPS)


def page_of(view: OrderView, *, shop: str, now: datetime) -> Page:
    """Return what the page shows of an order: nothing personal beyond the city, and no amounts."""
    parts = [s for s in view.shipments if s.units and s.work_status is not WorkStatus.CANCELLED]
    updates = newest_first(view)
    return Page(
        order_id=view.order.order_id,
        shop=shop,
        news=headline(view, now),
        parts=_arrived(parts),
        pay_url=_pay(view)[0],
        pay_text=_pay(view)[1],
        cards=[_card(view, part, f"Part {n} of {len(parts)}", now) for n, part in enumerate(parts, start=1)],
        city=view.order.ship_to.place,
        promises=_promises(view),
        updates=updates,
        seq=updates[0].seq if updates else 0,
        as_of=now,
    )


def _promises(view: OrderView) -> list[PromisedDay]:
    """Return every day that was promised, the latest first; nothing while the first one stands."""
    later = [PromisedDay(day=it.day, at=it.at, why=why_late(it.reason)) for it in view.promises[1:]]
    first = [PromisedDay(day=it.day, at=it.at, why="as promised first") for it in view.promises[:1]]
    return [*reversed(later), *first] if later else []


def _pay(view: OrderView) -> tuple[str, str]:
    """Return where the customer pays, when that is what the order waits for: pages of the bank or the provider."""
    if view.payment.confirm_url:
        return view.payment.confirm_url, "Confirm the payment with your bank"
    if view.payment.other_url and wants_payment(view):
        return view.payment.other_url, "Choose another way to pay"
    return "", ""


def _arrived(parts: list[ShipmentSummary]) -> str:
    if len(parts) < 2:
        return ""
    arrived = sum(part.stage is Stage.DELIVERED for part in parts)
    return (
        f"{arrived} of {len(parts)} parts arrived" if arrived else f"Your order comes in {len(parts)} parts"
    )


def _card(view: OrderView, part: ShipmentSummary, name: str, now: datetime) -> Card:
    parcel = part.parcel if part.parcel and part.parcel.has_label else None
    return Card(
        name=name,
        news=shipment_headline(view, part, now),
        reached=_REACHED.get(part.stage, 0),
        items=items(view.order, part.units),
        carrier=parcel.carrier if parcel else "",
        number=parcel.tracking_number if parcel else "",
        number_url=_number_url(parcel),
    )


def _number_url(parcel: ParcelView | None) -> str:
    return carrier_url(parcel.carrier, parcel.tracking_number) if parcel else ""

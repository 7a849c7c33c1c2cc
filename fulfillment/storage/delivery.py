"""Where what has not left goes, and by which service: labels that say otherwise must be bought again."""

from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.address import Address
from fulfillment.domain.change import ChangeAddress, Changed, ChangeKind, ChangeRefused, ChangeService
from fulfillment.domain.notifications import Fact
from fulfillment.domain.policy import Policy
from fulfillment.domain.promise import Source, promised
from fulfillment.domain.shipment import BEFORE_HAND_OVER, WaitsFor, WorkStatus
from fulfillment.storage import address_checks, changes, promises
from fulfillment.storage.advance import advance
from fulfillment.storage.changes import Made
from fulfillment.storage.locations import CALENDAR, calendar_from
from fulfillment.storage.orders import lock_order, owe
from fulfillment.storage.promises import Told
from fulfillment.storage.tables import labels, locations, orders, parcels, proposed_addresses, shipments
from fulfillment.storage.transits import usual_days

_W = WorkStatus
_NOT_LEFT: Final = [status.value for status in BEFORE_HAND_OVER]

_ORDER: Final = update(orders).where(orders.c.order_id == bindparam("the_order"))
_PROPOSE: Final = insert(proposed_addresses).on_conflict_do_nothing()
_TAKE: Final = (
    delete(proposed_addresses)
    .where(
        proposed_addresses.c.order_id == bindparam("the_order"),
        proposed_addresses.c.request_id == bindparam("the_request"),
    )
    .returning(proposed_addresses.c.ship_to)
)
_PARTS: Final = (
    select(
        *shipments.c["shipment_id", "location_id", "work_status", "waits_for"],
        locations.c.address["country"].astext.label("country"),
        *CALENDAR,
    )
    .join(locations, locations.c.location_id == shipments.c.location_id)
    .where(shipments.c.order_id == bindparam("the_order"), shipments.c.work_status != _W.CANCELLED.value)
    .order_by(shipments.c.n)
)
_LABELED: Final = (
    select(shipments.c.shipment_id)
    .join(parcels, parcels.c.shipment_id == shipments.c.shipment_id)
    .join(labels, labels.c.parcel_id == parcels.c.parcel_id)
    .where(
        shipments.c.order_id == bindparam("the_order"),
        shipments.c.work_status.in_(_NOT_LEFT),
        labels.c.state.in_(["buying", "live"]),
    )
    .order_by(shipments.c.n)
)
_BACK_TO_PACKED: Final = (
    update(shipments)
    .where(shipments.c.order_id == bindparam("the_order"), shipments.c.work_status == _W.LABELED.value)
    .values(work_status=_W.PACKED.value, labeled_at=None)
)
_THE_SHIPMENT: Final = shipments.c.shipment_id == bindparam("the_shipment")
_CHARGE: Final = (
    update(shipments)
    .where(_THE_SHIPMENT, shipments.c.work_status.in_(_NOT_LEFT))
    .values(
        value=shipments.c.value + bindparam("more"),
        fee=shipments.c.fee + bindparam("more"),
        # What was free and only waited for its turn is to be paid now, and the reverse.
        waits_for=case(
            (shipments.c.work_status != _W.SCHEDULED.value, shipments.c.waits_for),
            (
                (shipments.c.waits_for == WaitsFor.NOTHING.value) & (bindparam("more") > 0),
                WaitsFor.PAYMENT.value,
            ),
            (
                (shipments.c.waits_for == WaitsFor.PAYMENT.value)
                & (shipments.c.value + bindparam("more") == 0),
                WaitsFor.NOTHING.value,
            ),
            else_=shipments.c.waits_for,
        ),
    )
)
_FEE: Final = select(func.coalesce(func.sum(shipments.c.fee), 0)).where(
    _THE_SHIPMENT, shipments.c.work_status.in_(_NOT_LEFT)
)


# --- where it goes ----------------------------------------------------------------------------------


def change_address(conn: Connection, request: ChangeAddress, *, now: datetime, policy: Policy) -> Changed:
    """Send what has not left to another address. See `RecordStore.change_address`."""
    order_id, kind = request.order_id, ChangeKind.ADDRESS
    order = lock_order(conn, order_id)
    if (made := changes.repeated(conn, order_id, kind, request.request_id, now=now)) is not None:
        return made
    changes.check_open(order)
    going = _going(conn, order_id, "Ask the carrier to redirect it.")
    ship_to = _proposed(conn, order_id, request.request_id)
    conn.execute(_ORDER, {"the_order": order_id, "ship_to": asdict(ship_to)})
    is_new = ship_to.digest() != Address(**order.ship_to).digest()
    change_id = changes.next_id(conn, order_id)
    text = "Your order goes to the new address." if is_new else "Your order goes to this address already."
    if gone := changes.gone(conn, order_id):
        left = " and ".join(
            f"{it.parcel_id} (ask {it.carrier} to redirect {it.tracking_number})" for it in gone
        )
        text += f" What has left goes to the old one: {left}."
    if address_checks.answered(conn, order_id, by=request.by, now=now):
        advance(conn, lock_order(conn, order_id), now=now, policy=policy)
    if day := _another_day(conn, order, going, ship_to, now=now, policy=policy):
        why, told = "it goes to another country", Told(fact=Fact.CHANGED, subject=change_id, version=1)
        promises.revise(conn, order_id, day, source=Source.CHANGE, reason=why, told=told, now=now)
        text += f" We now expect it to reach you by {day:%A, %B} {day.day}."
    return changes.keep(
        conn,
        order,
        Made(
            change_id=change_id,
            kind=kind,
            text=text,
            delta=0,
            by=request.by,
            request_id=request.request_id,
            reworked=_relabel(conn, order_id) if is_new else (),
        ),
        now=now,
    )


def propose(
    conn: Connection, order_id: str, ship_to: Address, *, by: str, request_id: str, now: datetime
) -> None:
    """Leave an address for the order to take; the same request again leaves the one that was there."""
    row = {"order_id": order_id, "request_id": request_id, "ship_to": asdict(ship_to), "by": by, "at": now}
    conn.execute(_PROPOSE, row)


def propose_suggested(conn: Connection, order_id: str, *, by: str, request_id: str, now: datetime) -> None:
    """Leave the address that the carriers suggest. See `RecordStore.propose_suggested`."""
    order = lock_order(conn, order_id)
    if changes.repeated(conn, order_id, ChangeKind.ADDRESS, request_id, now=now) is not None:
        return
    suggested = address_checks.suggestion(conn, order)
    if suggested is None:
        raise ChangeRefused(f"the carriers suggest no other address for {order_id}: give the right one")
    propose(conn, order_id, suggested, by=by, request_id=request_id, now=now)


def _proposed(conn: Connection, order_id: str, request_id: str) -> Address:
    """Take the address that was left under a request; it is kept nowhere else any longer."""
    row = conn.execute(_TAKE, {"the_order": order_id, "the_request": request_id}).one_or_none()
    if row is None:
        raise ChangeRefused(
            f"no address was left for {order_id} under the request {request_id}: "
            f"send it to `POST /v1/orders/{order_id}/address`"
        )
    return Address(**row.ship_to)


def _going(conn: Connection, order_id: str, instead: str) -> list[Row[*tuple[Any, ...]]]:
    """Return the shipments that have not left; none is right while nothing is planned yet."""
    parts = conn.execute(_PARTS, {"the_order": order_id}).all()
    going = [part for part in parts if part.work_status in BEFORE_HAND_OVER]
    if parts and not going:
        raise changes.everything_has_left(conn, order_id, instead)
    return going


def _another_day(
    conn: Connection,
    order: Row[Any],
    going: list[Row[*tuple[Any, ...]]],
    to: Address,
    *,
    now: datetime,
    policy: Policy,
) -> date | None:
    """Return the day to promise when the way leads abroad now and did not before, or the reverse."""
    was_abroad = any(part.country != order.ship_to["country"] for part in going)
    abroad = any(part.country != to.country for part in going)
    if order.promise_date is None or abroad == was_abroad:
        return None
    day = max(_arrives(conn, part, to, order.service, now=now, policy=policy) for part in going)
    return day if day != order.promise_date else None


def _arrives(
    conn: Connection, part: Row[*tuple[Any, ...]], to: Address, service: str, *, now: datetime, policy: Policy
) -> date:
    """Return the day on which a part arrives; what waits for stock was promised with the days until it comes."""
    waits = part.waits_for == WaitsFor.STOCK
    usual = (now + timedelta(days=policy.backorder_days)).date() if waits else None
    abroad = part.country != to.country
    transit = usual_days(conn, part.location_id, to, service, abroad=abroad, now=now, policy=policy)
    return promised(
        now=now,
        calendar=calendar_from(part),
        abroad=abroad,
        policy=policy,
        days=transit.days,
        not_before=usual,
    )


def _relabel(conn: Connection, order_id: str) -> tuple[str, ...]:
    """Send what is labeled back to packed; return the shipments whose label must be given back."""
    labeled = tuple(conn.execute(_LABELED, {"the_order": order_id}).scalars())
    if labeled:
        conn.execute(_BACK_TO_PACKED, {"the_order": order_id})
    return labeled


# --- by which service -------------------------------------------------------------------------------


def change_service(conn: Connection, request: ChangeService, *, now: datetime) -> Changed:
    """Send what has not left by another service, for a fee. See `RecordStore.change_service`."""
    order_id, kind = request.order_id, ChangeKind.SERVICE
    order = lock_order(conn, order_id)
    if (made := changes.repeated(conn, order_id, kind, request.request_id, now=now)) is not None:
        return made
    changes.check_open(order)
    changes.check_confirmed(order)
    going = _going(conn, order_id, "Its service cannot be changed any more.")
    _check_service(order, request)
    first = going[0].shipment_id
    conn.execute(_ORDER, {"the_order": order_id, "service": request.service})
    _charge(conn, order_id, first, request.fee)
    text = f"Your order goes by {request.service}.{changes.difference(request.fee, order.currency)}"
    return changes.keep(
        conn,
        order,
        Made(
            change_id=changes.next_id(conn, order_id),
            kind=kind,
            text=text,
            delta=request.fee,
            by=request.by,
            request_id=request.request_id,
            reworked=_relabel(conn, order_id),
            before={
                "service": order.service,
                "now": request.service,
                "shipment_id": first,
                "fee": request.fee,
            },
        ),
        now=now,
    )


def take_service_back(
    conn: Connection, order: Row[Any], row: Row[Any], reason: str, *, now: datetime, policy: Policy
) -> Changed:
    """Put the service back, unless it was changed again since, and let go of the fee that was not paid."""
    before, order_id = row.before, order.order_id
    fee = min(before["fee"], _fee_of(conn, before["shipment_id"]))
    _charge(conn, order_id, before["shipment_id"], -fee)
    reworked: tuple[str, ...] = ()
    if order.service == before["now"]:
        conn.execute(_ORDER, {"the_order": order_id, "service": before["service"]})
        reworked = _relabel(conn, order_id)
    order = lock_order(conn, order_id)
    advance(conn, order, now=now, policy=policy)
    return changes.undone(
        conn,
        row,
        text=f"Your order goes by {order.service} as before.",
        delta=-fee,
        stopped=(),
        reworked=reworked,
        reason=reason,
        now=now,
    )


def _check_service(order: Row[Any], request: ChangeService) -> None:
    if not request.service.strip():
        raise ChangeRefused("name the service")
    if request.fee < 0:
        raise ChangeRefused("a fee must not be negative: give money back by a refund")
    if request.service == order.service:
        raise ChangeRefused(f"{order.order_id} goes by {order.service} already")


def _fee_of(conn: Connection, shipment_id: str) -> int:
    """Return the fee on a shipment that has not left; one that has is paid, one cancelled let it go."""
    fee: int = conn.execute(_FEE, {"the_shipment": shipment_id}).scalar_one()
    return fee


def _charge(conn: Connection, order_id: str, shipment_id: str, more: int) -> None:
    if more:
        conn.execute(_CHARGE, {"the_shipment": shipment_id, "more": more})
        owe(conn, order_id, more, fees=more)

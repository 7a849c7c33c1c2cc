"""Which shipment a payment's money is for: shares of it, taken, given back or let go."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, case, insert, select, update

from fulfillment.domain.payment import PaymentStatus
from fulfillment.storage.coverage import HOLDS_MONEY, TAKEN, covered
from fulfillment.storage.tables import payment_shares, payments, shipments

_THE_PAYMENT: Final = payment_shares.c.payment_id == bindparam("the_payment")
_THE_SHARE: Final = _THE_PAYMENT & (payment_shares.c.shipment_id == bindparam("the_shipment"))
_LEFT_OVER: Final = payment_shares.c.asked - payment_shares.c.captured
_ADD: Final = insert(payment_shares)
_OF_PAYMENT: Final = (
    select(payment_shares, shipments.c.work_status)
    .join(shipments, shipments.c.shipment_id == payment_shares.c.shipment_id)
    .where(_THE_PAYMENT)
    .order_by(shipments.c.n)
)
_OF_SHIPMENT: Final = (
    select(
        payments,
        payment_shares.c.asked.label("share"),
        payment_shares.c.captured.label("share_captured"),
        TAKEN.label("share_taken"),
        payment_shares.c.refunded.label("share_refunded"),
        payment_shares.c.released.label("share_released"),
        HOLDS_MONEY.label("holds"),
    )
    .join(payments, payments.c.payment_id == payment_shares.c.payment_id)
    .where(payment_shares.c.shipment_id == bindparam("the_shipment"))
    .order_by(payments.c.attempt)
)
_TAKE: Final = (
    update(payment_shares)
    .where(_THE_SHARE)
    .values(
        captured=payment_shares.c.captured + bindparam("taken"),
        released=_LEFT_OVER - bindparam("taken"),
    )
)
_LET_GO: Final = update(payment_shares).where(_THE_PAYMENT).values(released=_LEFT_OVER)
_LET_ONE_GO: Final = _LET_GO.where(payment_shares.c.shipment_id == bindparam("the_shipment"))
_GIVE_BACK: Final = (
    update(payment_shares)
    .where(_THE_SHARE)
    .values(refunded=payment_shares.c.refunded + bindparam("given_back"))
)
_COVERED: Final = (
    select(
        shipments.c.shipment_id,
        shipments.c.value,
        shipments.c.work_status,
        covered(shipments.c.shipment_id, and_asked=True).label("covered"),
    )
    .where(shipments.c.shipment_id.in_(bindparam("those", expanding=True)))
    .order_by(shipments.c.n)
)
_RUN_OUT: Final = (
    update(payments)
    .where(
        payments.c.order_id == bindparam("the_order"),
        payments.c.status == PaymentStatus.AUTHORIZED.value,
        payments.c.expires_at <= bindparam("now"),
    )
    .values(
        status=case(
            (payments.c.captured > 0, PaymentStatus.CAPTURED.value), else_=PaymentStatus.EXPIRED.value
        )
    )
    .returning(payments.c.payment_id)
)


def add(conn: Connection, payment_id: str, asked: Mapping[str, int]) -> None:
    """Divide a new payment among its shipments."""
    rows = [{"payment_id": payment_id, "shipment_id": s, "asked": amount} for s, amount in asked.items()]
    conn.execute(_ADD, rows)


def of_payment(conn: Connection, payment_id: str) -> list[Row[Any]]:
    """Return a payment's shares, each with the work status of its shipment."""
    return list(conn.execute(_OF_PAYMENT, {"the_payment": payment_id}))


def of_shipment(conn: Connection, shipment_id: str, *, now: datetime) -> list[Row[Any]]:
    """Return the payments of which a shipment has a share, oldest first; `holds` says which hold money now."""
    return list(conn.execute(_OF_SHIPMENT, {"the_shipment": shipment_id, "now": now}))


def wanting(conn: Connection, those: tuple[str, ...], *, now: datetime) -> list[Row[Any]]:
    """Return shipments with their value and what is covered of it, open attempts counted."""
    return list(conn.execute(_COVERED, {"those": those, "now": now}))


def take(conn: Connection, payment_id: str, shipment_id: str, amount: int) -> None:
    """Book an amount as taken for a shipment; what its share held beyond it is let go."""
    conn.execute(_TAKE, {"the_payment": payment_id, "the_shipment": shipment_id, "taken": amount})


def let_go(conn: Connection, payment_id: str, shipment_id: str | None = None) -> None:
    """Book as let go what is not taken: of one shipment, or of all."""
    if shipment_id is None:
        conn.execute(_LET_GO, {"the_payment": payment_id})
    else:
        conn.execute(_LET_ONE_GO, {"the_payment": payment_id, "the_shipment": shipment_id})


def give_back(conn: Connection, payment_id: str, amount: int, *, first: Collection[str] = ()) -> None:
    """Book an amount as given back (or, below zero, as not given back after all), `first` shipments first."""
    rest = amount
    last_first = of_payment(conn, payment_id)[::-1]
    for share in sorted(last_first, key=lambda share: share.shipment_id not in first):
        room = share.captured - share.refunded if rest > 0 else share.refunded
        part = min(rest, room) if rest > 0 else max(rest, -room)
        if part:
            said = {"the_payment": payment_id, "the_shipment": share.shipment_id, "given_back": part}
            conn.execute(_GIVE_BACK, said)
            rest -= part


def run_out(conn: Connection, order_id: str, *, now: datetime) -> None:
    """Note which authorizations of an order ran out, so that the next may be asked for."""
    ended = conn.execute(_RUN_OUT, {"the_order": order_id, "now": now}).scalars().all()
    for payment_id in ended:
        let_go(conn, payment_id)

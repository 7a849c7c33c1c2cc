"""Orders as they were accepted, and what is known of their start."""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from fulfillment.domain.address import Address
from fulfillment.domain.errors import FulfillmentError, UnknownOrder
from fulfillment.domain.events import EventKind
from fulfillment.domain.inventory import ShortLine, UnknownSku
from fulfillment.domain.order import Customer, Order, OrderLine, OrderStatus
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.storage import journal
from fulfillment.storage.tables import backorders, order_lines, orders, payments, skus, unit_ranges

OUT_OF_STOCK: Final = "out_of_stock"

_THE_ORDER: Final = orders.c.order_id == bindparam("the_order")
_READ: Final = select(orders).where(_THE_ORDER)
# FOR NO KEY UPDATE: rows that refer to the order may be inserted meanwhile.
_LOCK: Final = _READ.with_for_update(key_share=True)
_LINES: Final = (
    select(order_lines)
    .where(order_lines.c.order_id == bindparam("the_order"))
    .order_by(order_lines.c.line_no)
)
_KNOWN: Final = select(skus.c.sku).where(skus.c.sku.in_(bindparam("asked", expanding=True)))
_ACCEPT: Final = pg_insert(orders).on_conflict_do_nothing().returning(orders.c.order_id)
_ADD_LINES: Final = insert(order_lines)
_SAME: Final = select(orders.c.order_id, orders.c.content_hash).where(
    or_(
        _THE_ORDER,
        (orders.c.channel == bindparam("from_channel")) & (orders.c.external_ref == bindparam("their_ref")),
    )
)
_OWE: Final = (
    update(orders)
    .where(_THE_ORDER)
    .values(total=orders.c.total + bindparam("more"), fees=orders.c.fees + bindparam("of_it_fees"))
)
_STARTED: Final = update(orders).where(_THE_ORDER, orders.c.started_at.is_(None))
_GOING_ON: Final = (
    select(*orders.c["order_id", "reopened"])
    .where(orders.c.started_at.is_(None), orders.c.reopened > 0)
    .order_by(orders.c.accepted_at)
    .limit(bindparam("at_most"))
)
_UNSTARTED: Final = (
    select(orders.c.order_id)
    .where(orders.c.started_at.is_(None), orders.c.reopened == 0)
    .order_by(orders.c.accepted_at)
    .limit(bindparam("at_most"))
)
_GONE: Final = (
    select(func.coalesce(func.sum(unit_ranges.c.quantity), 0))
    .where(
        unit_ranges.c.order_id == order_lines.c.order_id,
        unit_ranges.c.line_no == order_lines.c.line_no,
        unit_ranges.c.cancelled_reason == OUT_OF_STOCK,
    )
    .scalar_subquery()
)
_QUEUED: Final = (
    select(func.coalesce(func.sum(backorders.c.quantity), 0))
    .where(
        backorders.c.order_id == order_lines.c.order_id,
        backorders.c.line_no == order_lines.c.line_no,
    )
    .scalar_subquery()
)
_SHORT: Final = (
    select(
        order_lines.c.line_no,
        order_lines.c.sku,
        order_lines.c.quantity,
        _QUEUED.label("backordered"),
        _GONE.label("cancelled"),
    )
    .where(order_lines.c.order_id == bindparam("the_order"))
    .order_by(order_lines.c.line_no)
)
_DECLINE_GROUP: Final = (
    select(payments.c.decline_group)
    .where(payments.c.order_id == bindparam("the_order"), payments.c.decline_group.is_not(None))
    .order_by(payments.c.attempt.desc())
    .limit(1)
)


class OrderExists(FulfillmentError):
    """Another order was already accepted under this id."""

    def __init__(self, order_id: str) -> None:
        super().__init__(
            f"{order_id} was already accepted with other content; a new order needs an id of its own"
        )
        self.order_id = order_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The stored order; not `created` when the very same one had been accepted before."""

    order_id: str
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedRecord:
    """What placing came to, as far as it is known; `placed` is None while it is not."""

    placed: str | None
    promise_date: date | None
    decline_group: str | None
    short: tuple[ShortLine, ...]


class OrderStore:
    """Accepts orders and reads them back."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def accept(self, order: Order, *, by: str) -> Accepted:
        """Store a checked order, once: its id and its channel's reference each name one order.

        Raises:
            UnknownSku: the catalogue has not every SKU; nothing was stored.
            OrderExists: the id or the reference belongs to another order.
        """
        row = _row(order) | {"policy_version": self._policy.version, "accepted_at": self._now()}
        with self._engine.begin() as conn:
            _check_skus(conn, {line.sku for line in order.lines})
            if conn.execute(_ACCEPT, row).one_or_none() is None:
                return _repeated(conn, row)
            conn.execute(_ADD_LINES, [asdict(line) | {"order_id": order.order_id} for line in order.lines])
            at = self._now()
            journal.event(conn, order.order_id, EventKind.RECEIVED, "We received your order.", at=at)
            journal.audit(conn, order.order_id, actor=by, command="place", outcome="accepted", at=at)
        return Accepted(order_id=order.order_id, created=True)

    def get(self, order_id: str) -> Order:
        """Return the order as it was accepted.

        Raises:
            UnknownOrder: there is no such order.
        """
        with self._engine.connect() as conn:
            row = conn.execute(_READ, {"the_order": order_id}).one_or_none()
            if row is None:
                raise UnknownOrder(order_id)
            return order_from(row, lines_of(conn, order_id))

    def placed(self, order_id: str) -> PlacedRecord:
        """Return what placing came to.

        Raises:
            UnknownOrder: there is no such order.
        """
        with self._engine.connect() as conn:
            row = conn.execute(_READ, {"the_order": order_id}).one_or_none()
            if row is None:
                raise UnknownOrder(order_id)
            return PlacedRecord(
                placed=row.placed,
                promise_date=row.promise_date,
                decline_group=conn.execute(_DECLINE_GROUP, {"the_order": order_id}).scalar_one_or_none(),
                short=short_lines(conn, order_id),
            )

    def started(self, order_id: str) -> None:
        """Note that the order's workflow runs."""
        with self._engine.begin() as conn:
            conn.execute(_STARTED, {"the_order": order_id, "started_at": self._now()})

    def unstarted(self, limit: int) -> tuple[str, ...]:
        """Return accepted orders whose workflow is not known to run, oldest first."""
        with self._engine.connect() as conn:
            return tuple(conn.execute(_UNSTARTED, {"at_most": limit}).scalars())

    def going_on(self, limit: int) -> tuple[tuple[str, int], ...]:
        """Return orders that go on after their end and are not known to run, each with which time it is."""
        with self._engine.connect() as conn:
            found = conn.execute(_GOING_ON, {"at_most": limit})
            return tuple((row.order_id, row.reopened) for row in found)


def lock_order(conn: Connection, order_id: str) -> Row[Any]:
    """Lock the order: first of all locks in every transaction that changes anything of it.

    Raises:
        UnknownOrder: there is no such order.
    """
    row = conn.execute(_LOCK, {"the_order": order_id}).one_or_none()
    if row is None:
        raise UnknownOrder(order_id)
    return row


def lines_of(conn: Connection, order_id: str) -> tuple[OrderLine, ...]:
    """Return the order's lines."""
    return tuple(line_from(row) for row in conn.execute(_LINES, {"the_order": order_id}))


def owe(conn: Connection, order_id: str, more: int, *, fees: int = 0) -> None:
    """Let the order cost so much more, or less when negative; `fees` is the part of it that no line costs."""
    conn.execute(_OWE, {"the_order": order_id, "more": more, "of_it_fees": fees})


def line_from(row: Row[Any]) -> OrderLine:
    """Return a line as the domain knows it."""
    return OrderLine(
        line_no=row.line_no,
        sku=row.sku,
        name=row.name,
        quantity=row.quantity,
        unit_price=row.unit_price,
        discount=row.discount,
        tax=row.tax,
        shipping_share=row.shipping_share,
    )


def order_from(row: Row[Any], lines: Iterable[OrderLine]) -> Order:
    """Return an order as the domain knows it."""
    return Order(
        order_id=row.order_id,
        channel=row.channel,
        external_ref=row.external_ref,
        customer=Customer(customer_id=row.customer_id, email=row.email, phone=row.phone, locale=row.locale),
        lines=tuple(lines),
        currency=row.currency,
        total=row.total,
        ship_to=Address(**row.ship_to),
        payment_method=row.payment_method,
        placed_at=row.placed_at,
        service=row.service,
        shipping_fee=row.shipping_fee,
        note=row.note,
    )


def short_lines(conn: Connection, order_id: str) -> tuple[ShortLine, ...]:
    """Return what became of the lines of which not everything was there."""
    return tuple(
        ShortLine(
            line_no=row.line_no,
            sku=row.sku,
            asked=row.quantity,
            got=row.quantity - row.backordered - row.cancelled,
            backordered=row.backordered,
            cancelled=row.cancelled,
        )
        for row in conn.execute(_SHORT, {"the_order": order_id})
        if row.backordered or row.cancelled
    )


def _check_skus(conn: Connection, asked: set[str]) -> None:
    known = set(conn.execute(_KNOWN, {"asked": sorted(asked)}).scalars())
    if missing := sorted(asked - known):
        raise UnknownSku(missing[0])


def _row(order: Order) -> dict[str, Any]:
    reference = order.external_ref or order.order_id
    return {
        "order_id": order.order_id,
        "channel": order.channel,
        "external_ref": reference,
        "status": OrderStatus.RECEIVED.value,
        "currency": order.currency,
        "shipping_fee": order.shipping_fee,
        "total": order.total,
        "service": order.service,
        **asdict(order.customer),
        "ship_to": asdict(order.ship_to),
        "payment_method": order.payment_method,
        "note": order.note,
        "tracking_token": secrets.token_urlsafe(16),
        "content_hash": _content_hash(order, reference),
        "placed_at": order.placed_at,
    }


def _content_hash(order: Order, reference: str) -> str:
    # Neither the id nor the moment: a door may give both anew each time it is asked for the same order.
    content = asdict(order) | {"order_id": "", "placed_at": "", "external_ref": reference}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _repeated(conn: Connection, row: dict[str, Any]) -> Accepted:
    named = {"the_order": row["order_id"], "from_channel": row["channel"], "their_ref": row["external_ref"]}
    for same in conn.execute(_SAME, named):
        if same.content_hash != row["content_hash"]:
            raise OrderExists(row["order_id"])
    return Accepted(order_id=same.order_id, created=False)

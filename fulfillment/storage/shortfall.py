"""The shelf holds less than is promised: the youngest claims are released, and their orders hear of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, TypeVar

from sqlalchemy import (
    Connection,
    Engine,
    Integer,
    Row,
    Text,
    bindparam,
    case,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.events import EventKind
from fulfillment.domain.inventory import Deed, InsufficientStock, Movement, PackedAlready
from fulfillment.domain.notifications import Fact
from fulfillment.domain.order import ENDED, OrderStatus, UnitRange
from fulfillment.domain.policy import Policy, Shortage
from fulfillment.domain.promise import Source
from fulfillment.domain.shipment import WaitsFor, WorkStatus, shipment_id
from fulfillment.storage import journal, locks, promises, put_backs, shortages, signals, sourcing
from fulfillment.storage.movements import Place, is_done, lock_levels, move, read_level
from fulfillment.storage.orders import OUT_OF_STOCK, lines_of, order_from
from fulfillment.storage.sourcing import Terms
from fulfillment.storage.tables import (
    allocations,
    backorders,
    order_lines,
    orders,
    outbox,
    reservations,
    shipments,
    stock_movements,
    unit_ranges,
)
from fulfillment.storage.units import drop_fees

# Goods in a closed parcel are seen by nobody: what is missing there, a person must look for.
OPEN: Final = (WorkStatus.SCHEDULED, WorkStatus.RELEASED, WorkStatus.PICKING, WorkStatus.PICKED)
_CLOSED: Final = (WorkStatus.PACKED, WorkStatus.LABELED)

# Every claim on a SKU at a location, the youngest first: the reverse of the order in which the queue is filled.
_CLAIMS: Final = text(
    """
    SELECT c.order_id, c.shipment_id, c.units, c.allocated, s.work_status
    FROM (
        SELECT s.order_id, a.shipment_id, a.quantity AS units, true AS allocated
        FROM allocations a JOIN shipments s USING (shipment_id)
        WHERE a.sku = :sku AND a.location_id = :location_id AND a.state = 'active'
        UNION ALL
        SELECT s.order_id, s.shipment_id, u.units - q.waiting - y.units, false
        FROM reservations r
        JOIN shipments s ON s.order_id = r.order_id AND s.location_id = r.location_id
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(g.quantity), 0)::int AS units
            FROM unit_ranges g JOIN order_lines l USING (order_id, line_no)
            WHERE g.shipment_id = s.shipment_id AND l.sku = r.sku
        ) u
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(b.quantity - b.filled), 0)::int AS waiting FROM backorders b
            WHERE b.shipment_id = s.shipment_id AND b.sku = r.sku AND b.state = 'waiting'
        ) q
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(a.quantity), 0)::int AS units FROM allocations a
            WHERE a.shipment_id = s.shipment_id AND a.sku = r.sku AND a.state = 'active'
        ) y
        WHERE r.sku = :sku AND r.location_id = :location_id AND r.state = 'active'
            AND s.work_status = 'scheduled' AND u.units > q.waiting + y.units
    ) c
    JOIN shipments s USING (shipment_id)
    JOIN orders o ON o.order_id = c.order_id
    LEFT JOIN LATERAL (
        SELECT max(b.priority) AS priority, max(b.promise_date) AS promise_date FROM backorders b
        WHERE b.shipment_id = c.shipment_id AND b.sku = :sku AND b.state <> 'cancelled'
    ) b ON true
    ORDER BY coalesce(b.priority, 0) DESC, coalesce(b.promise_date, o.promise_date) DESC NULLS FIRST,
        o.placed_at DESC, c.order_id DESC, c.shipment_id DESC
    """
)
_UNITS: Final = (
    select(unit_ranges.c.line_no, unit_ranges.c.first_unit, unit_ranges.c.quantity)
    .join(
        order_lines,
        (order_lines.c.order_id == unit_ranges.c.order_id) & (order_lines.c.line_no == unit_ranges.c.line_no),
    )
    .where(unit_ranges.c.shipment_id == bindparam("the_shipment"), order_lines.c.sku == bindparam("the_sku"))
    .order_by(unit_ranges.c.line_no.desc(), unit_ranges.c.first_unit.desc())
)
_QUEUED: Final = select(backorders).where(
    backorders.c.shipment_id == bindparam("the_shipment"),
    backorders.c.sku == bindparam("the_sku"),
    backorders.c.state != "cancelled",
)
_QUEUE: Final = pg_insert(backorders)
_QUEUE_AGAIN: Final = _QUEUE.on_conflict_do_update(
    index_elements=["shipment_id", "line_no"],
    set_={"quantity": _QUEUE.excluded.quantity, "filled": _QUEUE.excluded.filled, "state": "waiting"},
)
_QUEUE_MORE: Final = _QUEUE.on_conflict_do_update(
    index_elements=["shipment_id", "line_no"],
    # A claim that was let go keeps its size, and counts no more.
    set_={
        "quantity": _QUEUE.excluded.quantity
        + case((backorders.c.state == "cancelled", 0), else_=backorders.c.quantity),
        "filled": case((backorders.c.state == "cancelled", 0), else_=backorders.c.filled),
        "state": "waiting",
    },
)
_REQUEUE: Final = update(backorders).where(
    backorders.c.shipment_id == bindparam("the_shipment"), backorders.c.line_no == bindparam("the_line")
)
_THIS_RANGE: Final = (
    (unit_ranges.c.order_id == bindparam("the_order"))
    & (unit_ranges.c.line_no == bindparam("the_line"))
    & (unit_ranges.c.first_unit == bindparam("the_first"))
)
_CUT: Final = update(unit_ranges).where(_THIS_RANGE)
_ADD_RANGE: Final = insert(unit_ranges)
_THIS_SHIPMENT: Final = shipments.c.shipment_id == bindparam("the_shipment")
_SHIPMENT: Final = update(shipments).where(_THIS_SHIPMENT)
_REVALUE: Final = _SHIPMENT.values(value=shipments.c.value + bindparam("more"))
_CARRIES: Final = select(func.coalesce(func.sum(unit_ranges.c.quantity), 0)).where(
    unit_ranges.c.shipment_id == bindparam("the_shipment")
)
_LAST_N: Final = select(func.max(shipments.c.n)).where(shipments.c.order_id == bindparam("the_order"))
_WAITS: Final = (shipments.c.work_status == WorkStatus.SCHEDULED.value) & (
    shipments.c.waits_for == WaitsFor.STOCK.value
)
_WAITS_ITSELF: Final = select(_WAITS).where(_THIS_SHIPMENT)
_WAITS_THERE: Final = (
    select(shipments.c.shipment_id)
    .where(
        shipments.c.order_id == bindparam("the_order"), shipments.c.location_id == bindparam("there"), _WAITS
    )
    .order_by(shipments.c.n)
    .limit(1)
)
_PLANNED: Final = (
    "shipment_id",
    "order_id",
    "n",
    "location_id",
    "work_status",
    "waits_for",
    "value",
    "ship_by",
)
_PLAN: Final = insert(shipments).from_select(
    _PLANNED,
    select(
        bindparam("follows", type_=Text),
        shipments.c.order_id,
        bindparam("its_n", type_=Integer),
        shipments.c.location_id,
        literal(WorkStatus.SCHEDULED.value, Text),
        literal(WaitsFor.STOCK.value, Text),
        literal(0, Integer),
        shipments.c.ship_by,
    ).where(_THIS_SHIPMENT),
)
_LIVES: Final = (
    select(shipments.c.shipment_id)
    .where(
        shipments.c.order_id == bindparam("the_order"), shipments.c.work_status != WorkStatus.CANCELLED.value
    )
    .exists()
    .select()
)
_ORDER: Final = update(orders).where(orders.c.order_id == bindparam("the_order"))
_TOLD: Final = select(func.count()).where(
    outbox.c.order_id == bindparam("the_order"),
    outbox.c.subject == bindparam("the_shipment"),
    outbox.c.fact == bindparam("the_fact"),
)


_LOST_BY: Final = (
    select(stock_movements.c.cause)
    .distinct()
    .where(
        stock_movements.c.sku == bindparam("the_sku"),
        stock_movements.c.location_id == bindparam("there"),
        func.starts_with(stock_movements.c.operation_key, bindparam("short")),
    )
    .order_by(stock_movements.c.cause)
)
_TRIES: Final = 20

T = TypeVar("T")


class Overtaken(FulfillmentError):
    """Another order's claim became the youngest between looking and locking: roll back and look again."""

    def __init__(self) -> None:
        super().__init__("orders come in faster than this can be booked; try again in a moment")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Short:
    """Units of one line that are not there: `came` of them by the queue, which had `filled` of its `queued`."""

    line_no: int
    lost: int
    came: int
    queued: int
    filled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loss:
    """Units of one claim that are not there."""

    order_id: str
    shipment_id: str
    allocated: bool
    units: int


def in_one_piece(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Do this in one transaction; where it was overtaken, roll back and do it again."""
    for _ in range(_TRIES):
        try:
            with engine.begin() as conn:
                return work(conn)
        except Overtaken as overtaken:
            last = overtaken
    raise last


def book(
    conn: Connection, kind: Movement, place: Place, quantity: int, deed: Deed, *, policy: Policy
) -> bool:
    """Move units that can be promised no more, after room was made; False when it was done before.

    Raises as `make_room` does.
    """
    if is_done(conn, kind, place, deed.key):
        return False
    make_room(conn, place, abs(quantity), deed, policy=policy)
    if not move(conn, kind, {place: quantity}, key=deed.key, cause=deed.cause, by=deed.by, at=deed.at):
        raise Overtaken  # by the same deed: what was released here for it is too much
    return True


def make_room(conn: Connection, place: Place, units: int, deed: Deed, *, policy: Policy) -> None:
    """Release the youngest claims on a place until so many units of it are free.

    Orders are locked before the level, so neither may be locked yet.

    Raises:
        Overtaken: the claims changed meanwhile.
        PackedAlready: the claims that could be released are too few.
        InsufficientStock: there are not that many on the shelf.
    """
    chosen = _losses(conn, place, units)
    locked = locks.orders_named(conn, {loss.order_id for loss in chosen})
    lock_levels(conn, [place])
    losses = _losses(conn, place, units)
    if {loss.order_id for loss in losses} - locked.keys():
        raise Overtaken
    for loss in losses:
        _lose(conn, place, locked[loss.order_id], loss, Movement.ALLOCATION_RELEASED, deed, policy=policy)


def take_from(
    conn: Connection,
    place: Place,
    shipment_id: str,
    units: int,
    kind: Movement,
    deed: Deed,
    *,
    policy: Policy,
) -> None:
    """Take units out of one shipment's claim by a movement of this kind; a repeat changes nothing.

    Raises:
        UnknownShipment: there is no such shipment.
        InsufficientStock: it claims fewer here, or its parcel is closed.
    """
    order = locks.order_of_shipment(conn, shipment_id)
    if is_done(conn, kind, place, f"{deed.key}:short:{shipment_id}"):
        return
    lock_levels(conn, [place])
    claim = next((row for row in _claims(conn, place) if row.shipment_id == shipment_id), None)
    claimed = claim.units if claim and claim.allocated and WorkStatus(claim.work_status) in OPEN else 0
    if claimed < units:
        raise InsufficientStock(place[0], units, claimed, of=f"claimed by {shipment_id} and not packed")
    loss = _Loss(order_id=order.order_id, shipment_id=shipment_id, allocated=True, units=units)
    _lose(conn, place, order, loss, kind, deed, policy=policy)


def lost_by(conn: Connection, place: Place, key: str) -> tuple[str, ...]:
    """Return the shipments that lost units by the deed of this key."""
    return tuple(
        conn.execute(_LOST_BY, {"the_sku": place[0], "there": place[1], "short": f"{key}:short:"}).scalars()
    )


def _claims(conn: Connection, place: Place) -> Sequence[Row[Any]]:
    return conn.execute(_CLAIMS, {"sku": place[0], "location_id": place[1]}).all()


def _losses(conn: Connection, place: Place, units: int) -> list[_Loss]:
    level = read_level(conn, place)
    if level.on_hand < units:
        raise InsufficientStock(place[0], units, level.on_hand, of="on_hand")
    missing = units - (level.on_hand - level.taken)
    if missing <= 0:
        return []
    losses: list[_Loss] = []
    claims = _claims(conn, place)
    for claim in (claim for claim in claims if WorkStatus(claim.work_status) in OPEN):
        lost = min(missing, claim.units)
        missing -= lost
        losses.append(
            _Loss(
                order_id=claim.order_id, shipment_id=claim.shipment_id, allocated=claim.allocated, units=lost
            )
        )
        if not missing:
            return losses
    packed = sorted(claim.shipment_id for claim in claims if WorkStatus(claim.work_status) in _CLOSED)
    raise PackedAlready(place[0], place[1], tuple(packed), missing)


def _lose(
    conn: Connection,
    place: Place,
    order: Row[Any],
    loss: _Loss,
    kind: Movement,
    deed: Deed,
    *,
    policy: Policy,
) -> None:
    """Take the units out of the claim; they wait again, or are cancelled where no more will come."""
    _reduce_claim(conn, place, loss, kind, deed)
    terms = sourcing.waitable(sourcing.terms(conn, [place[0]]), now=deed.at, policy=policy)
    if place[0] in terms:
        _wait(conn, place, order, loss, terms, deed, policy=policy)
    else:
        _cancel(conn, place, order, loss, deed)
        _tell_cancelled(conn, order, loss, place[0], deed)
    outcome = f"{loss.units} x {place[0]} of {loss.shipment_id} are not there"
    journal.audit(
        conn,
        loss.order_id,
        actor=deed.by,
        command="stock_short",
        outcome=outcome,
        at=deed.at,
        reason=deed.cause,
    )
    body = {"why": OUT_OF_STOCK, "shipment_ids": [loss.shipment_id]}
    key = f"{loss.shipment_id}:short:{place[0]}:{deed.key}"
    journal.signal(conn, loss.order_id, signals.REPLANNED, body, fact_key=key, at=deed.at)


def _reduce_claim(conn: Connection, place: Place, loss: _Loss, kind: Movement, deed: Deed) -> None:
    if loss.allocated:
        rows = allocations.c.shipment_id == loss.shipment_id
        row = allocations
    else:
        rows = reservations.c.order_id == loss.order_id
        row = reservations
        kind = Movement.RESERVATION_RELEASED
    rows &= (row.c.sku == place[0]) & (row.c.location_id == place[1]) & (row.c.state == "active")
    whole = row.c.quantity == loss.units
    if not conn.execute(update(row).where(rows, whole).values(state="released")).rowcount:
        conn.execute(update(row).where(rows).values(quantity=row.c.quantity - loss.units))
    move(
        conn,
        kind,
        {place: loss.units},
        key=f"{deed.key}:short:{loss.shipment_id}",
        cause=loss.shipment_id,
        by=deed.by,
        at=deed.at,
    )


# --- units that may wait -----------------------------------------------------------------------------


def _wait(
    conn: Connection,
    place: Place,
    order: Row[Any],
    loss: _Loss,
    terms: Mapping[str, Terms],
    deed: Deed,
    *,
    policy: Policy,
) -> None:
    """Queue the units at the place their promise gives them; what the order has still goes on as the policy says."""
    day = _expected(conn, place, order, terms, policy=policy, now=deed.at)
    if _waits_itself(conn, loss):
        waits = _wait_again(conn, place, order, loss, day, now=deed.at)
    else:
        waits = _follow(conn, place, order, loss, day)
    revised = _promise_later(conn, order, loss, day, waits, now=deed.at)
    _tell_short(conn, order, loss, place[0], revised, deed)
    if policy.shortage is not Shortage.ASK or not _is_sold_ahead(place[0], terms, deed.at):
        shortages.hold_back(conn, loss.order_id, {place[0]: day}, now=deed.at, policy=policy)


def _promise_later(
    conn: Connection, order: Row[Any], loss: _Loss, day: date, waits: str, *, now: datetime
) -> bool:
    if order.promise_date is None or day <= order.promise_date:
        return False
    version = _next_version(conn, loss, Fact.BACKORDERED)
    promises.revise(
        conn,
        loss.order_id,
        day,
        source=Source.STOCK,
        reason=OUT_OF_STOCK,
        told=promises.Told(fact=Fact.BACKORDERED, subject=loss.shipment_id, version=version),
        now=now,
        shipment_id=waits,
    )
    return True


def _expected(
    conn: Connection,
    place: Place,
    order: Row[Any],
    terms: Mapping[str, Terms],
    *,
    policy: Policy,
    now: datetime,
) -> date:
    """Return the day on which units that wait anew at this place should reach the customer."""
    there = next(one for one in sourcing.places(conn) if one.location_id == place[1])
    abroad = there.country != order.ship_to["country"]
    return sourcing.missing_until(conn, there, terms, abroad=abroad, now=now, policy=policy)[place[0]]


def _is_sold_ahead(sku: str, terms: Mapping[str, Terms], now: datetime) -> bool:
    return bool(sourcing.sold_ahead({sku: terms[sku].available_from}, now=now))


def _waits_itself(conn: Connection, loss: _Loss) -> bool:
    """Test whether the shipment waits as a whole: it did before, or nothing else is in it."""
    this = {"the_shipment": loss.shipment_id}
    carries = conn.execute(_CARRIES, this).scalar_one()
    return bool(carries == loss.units or conn.execute(_WAITS_ITSELF, this).scalar_one())


def _wait_again(
    conn: Connection, place: Place, order: Row[Any], loss: _Loss, day: date, *, now: datetime
) -> str:
    rows = [
        _queue_row(place, order, loss.shipment_id, part.line_no, day)
        | {"quantity": part.queued + part.lost - part.came, "filled": part.filled - part.came}
        for part in _lines_short(conn, place, order, loss)
    ]
    conn.execute(_QUEUE_AGAIN, rows)
    back = {"work_status": WorkStatus.SCHEDULED.value, "waits_for": WaitsFor.STOCK.value}
    put_backs.ask(conn, [loss.shipment_id], why=OUT_OF_STOCK, now=now)
    nobody = {"picker": None, "pick_until": None, "picked_at": None}
    conn.execute(_SHIPMENT, {"the_shipment": loss.shipment_id, **back, **nobody})
    return loss.shipment_id


def _follow(conn: Connection, place: Place, order: Row[Any], loss: _Loss, day: date) -> str:
    """Let the units follow in a shipment that waits and is paid when it leaves; return it. The rest of theirs goes on."""
    short = _lines_short(conn, place, order, loss)
    follows = _follower(conn, place, loss)
    gone = _take_out(conn, place, loss, short, {"shipment_id": follows})
    worth = order_from(order, lines_of(conn, loss.order_id)).worth(gone)
    conn.execute(_REVALUE, {"the_shipment": loss.shipment_id, "more": -worth})
    conn.execute(_REVALUE, {"the_shipment": follows, "more": worth})
    rows = [
        _queue_row(place, order, follows, part.line_no, day) | {"quantity": part.lost, "filled": 0}
        for part in short
    ]
    conn.execute(_QUEUE_MORE, rows)
    return follows


def _follower(conn: Connection, place: Place, loss: _Loss) -> str:
    """Return the order's shipment that waits for stock at this place, planning it where there is none."""
    asked = {"the_order": loss.order_id, "there": place[1]}
    standing: str | None = conn.execute(_WAITS_THERE, asked).scalar_one_or_none()
    if standing is not None:
        return standing
    n = conn.execute(_LAST_N, asked).scalar_one() + 1
    follows = shipment_id(loss.order_id, n)
    conn.execute(_PLAN, {"the_shipment": loss.shipment_id, "follows": follows, "its_n": n})
    return follows


def _queue_row(place: Place, order: Row[Any], shipment: str, line_no: int, day: date) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "shipment_id": shipment,
        "line_no": line_no,
        "sku": place[0],
        "location_id": place[1],
        "placed_at": order.placed_at,
        "promise_date": order.promise_date or day,
        "state": "waiting",
    }


def _units(conn: Connection, place: Place, loss: _Loss) -> Sequence[Row[int, int, int]]:
    """Return where the shipment's units of the SKU are, the highest numbers first."""
    return conn.execute(_UNITS, {"the_shipment": loss.shipment_id, "the_sku": place[0]}).all()


def _lines_short(conn: Connection, place: Place, order: Row[Any], loss: _Loss) -> list[_Short]:
    """Return how many units of each line are lost, the last line first."""
    asked = {"the_shipment": loss.shipment_id, "the_sku": place[0]}
    queued = {row.line_no: row for row in conn.execute(_QUEUED, asked)}
    there: dict[int, int] = {}
    for span in _units(conn, place, loss):
        there[span.line_no] = there.get(span.line_no, 0) + span.quantity
    missing, short = loss.units, list[_Short]()
    for line_no, carried in there.items():
        row = queued.get(line_no)
        quantity, filled = (row.quantity, row.filled) if row else (0, 0)
        # What came from the queue is allocated at once, what was there at first only when the order is confirmed.
        from_queue = filled if loss.allocated else 0
        at_first = carried - quantity if order.confirmed_at or not loss.allocated else 0
        if lost := min(missing, from_queue + at_first):
            came = min(lost, from_queue)
            short.append(_Short(line_no=line_no, lost=lost, came=came, queued=quantity, filled=filled))
            missing -= lost
    return short


def _take_out(
    conn: Connection, place: Place, loss: _Loss, short: Sequence[_Short], to: dict[str, Any]
) -> tuple[UnitRange, ...]:
    """Move the units with the highest numbers of each line out of their shipment, and return them."""
    missing = {part.line_no: part.lost for part in short}
    gone: list[UnitRange] = []
    for span in _units(conn, place, loss):
        if lost := min(missing.get(span.line_no, 0), span.quantity):
            missing[span.line_no] -= lost
            gone.append(_cut(conn, loss.order_id, span, span.quantity - lost, to))
    for part in short:
        _take_from_queue(conn, loss, part)
    return tuple(gone)


def _cut(
    conn: Connection, order_id: str, span: Row[int, int, int], kept: int, to: dict[str, Any]
) -> UnitRange:
    this = {"the_order": order_id, "the_line": span.line_no, "the_first": span.first_unit}
    gone = UnitRange(line_no=span.line_no, first=span.first_unit + kept, count=span.quantity - kept)
    if not kept:
        conn.execute(_CUT, this | {"shipment_id": None, "cancelled_reason": None} | to)
        return gone
    conn.execute(_CUT, this | {"quantity": kept})
    row = {"order_id": order_id, "line_no": gone.line_no, "first_unit": gone.first, "quantity": gone.count}
    conn.execute(_ADD_RANGE, row | to)
    return gone


def _take_from_queue(conn: Connection, loss: _Loss, part: _Short) -> None:
    """What came by the queue and is lost is no part of what the shipment got of it."""
    if not part.came:
        return
    left = {"quantity": part.queued - part.came, "filled": part.filled - part.came}
    values = left if left["quantity"] else {"state": "cancelled"}
    conn.execute(_REQUEUE, {"the_shipment": loss.shipment_id, "the_line": part.line_no, **values})


def _tell_short(conn: Connection, order: Row[Any], loss: _Loss, sku: str, revised: bool, deed: Deed) -> None:
    words = f"{loss.units} × {sku} of your order were not in stock after all; they follow when more arrives."
    data = {"shipment_id": loss.shipment_id, "sku": sku, "units": loss.units, "promise_revised": revised}
    journal.event(conn, loss.order_id, EventKind.STOCK_SHORT, words, at=deed.at, data=data)
    _tell(conn, order, loss, Fact.BACKORDERED, deed)


# --- units that will not come ------------------------------------------------------------------------


def _cancel(conn: Connection, place: Place, order: Row[Any], loss: _Loss, deed: Deed) -> None:
    """Cancel the units; the shipment costs less, and ends where nothing is left."""
    short = _lines_short(conn, place, order, loss)
    gone = _take_out(conn, place, loss, short, {"cancelled_reason": OUT_OF_STOCK})
    worth = order_from(order, lines_of(conn, loss.order_id)).worth(gone)
    this = {"the_shipment": loss.shipment_id}
    conn.execute(_REVALUE, this | {"more": -worth})
    if not conn.execute(_CARRIES, this).scalar_one():
        ended = {"work_status": WorkStatus.CANCELLED.value, "waits_for": WaitsFor.NOTHING.value}
        drop_fees(conn, loss.order_id, [loss.shipment_id])
        conn.execute(_SHIPMENT, this | ended | {"cancelled_reason": OUT_OF_STOCK, "closed_at": deed.at})
    _end_order(conn, order)


def _end_order(conn: Connection, order: Row[Any]) -> None:
    """An order of which nothing lives is being cancelled: its workflow lets the money go and closes it."""
    lives = conn.execute(_LIVES, {"the_order": order.order_id}).scalar_one()
    if not lives and OrderStatus(order.status) not in ENDED:
        conn.execute(_ORDER, {"the_order": order.order_id, "status": OrderStatus.CANCELLING.value})


def _tell_cancelled(conn: Connection, order: Row[Any], loss: _Loss, sku: str, deed: Deed) -> None:
    words = f"Not in stock any more and taken off your order: {loss.units} × {sku}."
    data = {"shipment_id": loss.shipment_id, "sku": sku, "units": loss.units}
    journal.event(conn, loss.order_id, EventKind.PART_CANCELLED, words, at=deed.at, data=data)
    _tell(conn, order, loss, Fact.PART_CANCELLED, deed)


def _tell(conn: Connection, order: Row[Any], loss: _Loss, fact: Fact, deed: Deed) -> None:
    # Before the order is confirmed its customer was promised nothing: the confirmation says what is short.
    if order.confirmed_at is None:
        return
    version = _next_version(conn, loss, fact)
    data = {"shipment_id": loss.shipment_id, "units": loss.units, "reason": OUT_OF_STOCK}
    journal.tell(conn, loss.order_id, fact, subject=loss.shipment_id, version=version, data=data, now=deed.at)


def _next_version(conn: Connection, loss: _Loss, fact: Fact) -> int:
    asked = {"the_order": loss.order_id, "the_shipment": loss.shipment_id, "the_fact": fact.value}
    told: int = conn.execute(_TOLD, asked).scalar_one()
    return told + 1

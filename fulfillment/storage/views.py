"""Orders as people and programs read them: everything of one in a single statement, many of them page by page."""

import base64
import binascii
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Table,
    Text,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, array

from fulfillment.domain.address import Address, AddressAnswer, Verdict
from fulfillment.domain.cases import (
    BESIDE_THE_ORDER,
    OWNER,
    Case,
    CaseKind,
    CaseState,
    Owner,
    attention,
    most_urgent,
)
from fulfillment.domain.errors import FulfillmentError, UnknownOrder
from fulfillment.domain.events import EventKind
from fulfillment.domain.holds import Hold, HoldReason
from fulfillment.domain.notifications import NotificationState
from fulfillment.domain.order import Order, OrderLine, OrderStatus, UnitRange
from fulfillment.domain.payment import PaymentStatus
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.promise import Promise, Source, Telling
from fulfillment.domain.settlement import Settlement
from fulfillment.domain.shipment import WaitsFor, WorkStatus
from fulfillment.domain.stage import (
    PaymentView,
    ShipmentView,
    Stage,
    order_stage,
    payment_status,
    shipment_stage,
)
from fulfillment.domain.substitution import SUBSTITUTED, Instead
from fulfillment.domain.tracking import CarrierStatus, Flag, Standing
from fulfillment.domain.view import (
    EventView,
    OrderRow,
    OrderView,
    ParcelView,
    PaymentSummary,
    ScanView,
    ShipmentSummary,
)
from fulfillment.storage.orders import order_from
from fulfillment.storage.stages import attention_of, stage_of
from fulfillment.storage.tables import (
    address_checks,
    cases,
    holds,
    labels,
    order_events,
    order_lines,
    orders,
    outbox,
    parcels,
    payments,
    promises,
    shipments,
    substitutions,
    tracking_events,
    unit_ranges,
)

Rows = list[dict[str, Any]]  # rows of a table as PostgreSQL gathers them into JSON

_PAGE_LIMIT: Final = 200
_FOUND_LIMIT: Final = 50
_CONFIRM: Final = PaymentStatus.ACTION_REQUIRED
_HELD: Final = (PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED)


class BadCursor(FulfillmentError):
    """The cursor is not one that a list gave out."""

    def __init__(self, cursor: str) -> None:
        super().__init__(f"{cursor!r} is not a cursor of this list; start without one")
        self.cursor = cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which orders to list, newest first. `needs_attention` keeps those with any open case."""

    stage: Stage | None = None
    attention: CaseKind | None = None
    needs_attention: bool = False
    customer_id: str | None = None
    placed_after: datetime | None = None
    cursor: str | None = None
    limit: int = 50


class OrderViews:
    """Reads orders. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def view(self, order_id: str) -> OrderView:
        """Return everything about an order.

        Raises:
            UnknownOrder: there is no such order.
        """
        with self._engine.connect() as conn:
            row = conn.execute(_BY_ID, {"wanted": order_id}).first()
            if row is None:
                raise UnknownOrder(order_id)
            view = _view(row)
            return replace(view, cases_alike=_alike(conn, view)) if view.cases else view

    def several(self, order_ids: Collection[str]) -> tuple[OrderView, ...]:
        """Return everything about these orders, as far as they exist, by order id."""
        chosen = _whole_order(orders.c.order_id.in_(order_ids)).order_by(orders.c.order_id)
        with self._engine.connect() as conn:
            return tuple(_view(row) for row in conn.execute(chosen))

    def by_token(self, token: str) -> OrderView | None:
        """Return the order of a tracking link; None when there is none or the link has outlived its order."""
        if not token:
            return None
        with self._engine.connect() as conn:
            row = conn.execute(_BY_TOKEN, {"wanted": token}).first()
        if row is None:
            return None
        outlived = row.completed_at and row.completed_at + self._policy.tracking_link_life < self._now()
        return None if outlived else _view(row)

    def list(self, wanted: OrderFilter) -> tuple[tuple[OrderRow, ...], str | None]:
        """Return one page and the cursor of the next, None on the last one.

        Raises:
            BadCursor: the cursor was not made here.
        """
        limit = max(1, min(wanted.limit, _PAGE_LIMIT))
        with self._engine.connect() as conn:
            rows = conn.execute(_page(wanted).limit(limit + 1)).all()
        page = tuple(_order_row(row) for row in rows[:limit])
        return page, _cursor(page[-1]) if len(rows) > limit else None

    def events(self, order_id: str, after_seq: int = 0) -> tuple[EventView, ...]:
        """Return what happened to an order after an event, oldest first."""
        query = (
            select(order_events)
            .where(order_events.c.order_id == order_id, order_events.c.seq > after_seq)
            .order_by(order_events.c.seq)
        )
        with self._engine.connect() as conn:
            return tuple(_event(row._asdict()) for row in conn.execute(query))

    def heads(self, order_ids: Collection[str]) -> dict[str, int]:
        """Return the number of each order's latest event, whatever how many are asked about."""
        latest = func.max(order_events.c.seq).label("latest")
        query = select(order_events.c.order_id, latest).where(order_events.c.order_id.in_(order_ids))
        with self._engine.connect() as conn:
            rows = conn.execute(query.group_by(order_events.c.order_id))
            return {row.order_id: row.latest for row in rows}

    def find(self, text: str) -> tuple[str, ...]:
        """Return the orders a person may mean by an order number, an e-mail address or a tracking number."""
        with self._engine.connect() as conn:
            return _found(conn, text.strip())


def _whole_order(chosen: ColumnElement[bool]) -> Any:
    # Said to be of the outer order: two levels deep it would be of all orders, and every scan of the shop be read.
    of_the_order = parcels.c.order_id == orders.c.order_id
    parcel_ids = select(parcels.c.parcel_id).where(of_the_order).correlate(orders)
    scans = _gathered(
        tracking_events,
        tracking_events.c.parcel_id.in_(parcel_ids),
        tracking_events.c.occurred_at.desc(),
        tracking_events.c.event_hash,
    )
    return select(
        orders,
        _of_order(order_lines, order_lines.c.line_no),
        _of_order(unit_ranges, unit_ranges.c.line_no, unit_ranges.c.first_unit),
        _of_order(shipments, shipments.c.n),
        _of_order(parcels, parcels.c.n),
        _of_order(labels, labels.c.created_at, labels.c.label_id),
        _of_order(payments, payments.c.created_at, payments.c.attempt, payments.c.payment_id),
        _of_order(holds, holds.c.placed_at, holds.c.hold_id, only=holds.c.state == "active"),
        _of_order(cases, cases.c.opened_at, cases.c.case_id, only=cases.c.state != CaseState.RESOLVED.value),
        _of_order(address_checks, address_checks.c.at),
        _of_order(order_events, order_events.c.seq),
        _of_order(promises, promises.c.n),
        _of_order(substitutions, substitutions.c.line_no),
        _TELLINGS,
        scans,
    ).where(chosen)


# Which messages told a promise: its number, and what became of them.
_TELLINGS: Final = (
    select(
        func.jsonb_agg(
            func.jsonb_build_object(
                *("n", promises.c.n, "channel", outbox.c.channel),
                *("state", outbox.c.state, "sent_at", outbox.c.sent_at),
            )
        )
    )
    .select_from(promises)
    .join(
        outbox,
        and_(
            outbox.c.order_id == promises.c.order_id,
            outbox.c.fact == promises.c.told_fact,
            outbox.c.subject == promises.c.told_subject,
            outbox.c.version == promises.c.told_version,
        ),
    )
    .where(promises.c.order_id == orders.c.order_id)
    .correlate(orders)
    .scalar_subquery()
    .label("tellings")
)


def _of_order(table: Table, *order_by: Any, only: ColumnElement[bool] | None = None) -> Any:
    condition = table.c.order_id == orders.c.order_id
    return _gathered(table, condition if only is None else condition & only, *order_by)


def _gathered(table: Table, condition: ColumnElement[bool], *order_by: Any) -> Any:
    whole_row: ColumnElement[Any] = func.to_jsonb(literal_column(table.name))
    gathered = func.jsonb_agg(aggregate_order_by(whole_row, *order_by))
    return select(gathered).select_from(table).where(condition).scalar_subquery().label(table.name)


_BY_ID: Final = _whole_order(orders.c.order_id == bindparam("wanted"))
_ALIKE: Final = select(func.count(cases.c.order_id.distinct())).where(
    cases.c.kind == bindparam("the_kind"),
    cases.c.note == bindparam("the_note"),
    cases.c.state != CaseState.RESOLVED.value,
    cases.c.order_id != bindparam("the_order"),
)
_BY_TOKEN: Final = _whole_order(orders.c.tracking_token == bindparam("wanted"))


def _view(row: Row[Any]) -> OrderView:
    order = order_from(row, (OrderLine(**_without_order(line)) for line in row.order_lines or ()))
    status, units = OrderStatus(row.status), row.unit_ranges or []
    gone = [unit for unit in units if unit["shipment_id"] is None]
    parts = tuple(_shipment(row, shipment) for shipment in row.shipments or ())
    known = tuple(_case(case) for case in row.cases or ())
    open_cases = tuple(case for case in known if case.kind not in BESIDE_THE_ORDER)
    payable = order.total - order.worth(tuple(_units(unit) for unit in gone))
    return OrderView(
        order=order,
        status=status,
        stage=order_stage(status, [_part(part) for part in parts]),
        attention=attention(open_cases),
        placed=row.placed,
        outcome=row.outcome,
        payable=payable,
        cancelled_units=tuple(_units(unit) for unit in gone if unit["cancelled_reason"] != SUBSTITUTED),
        replaced=tuple(_instead(order, one) for one in row.substitutions or ()),
        shipments=parts,
        payment=_payment(payable, row.payments or [], row.payment_link),
        holds=tuple(_hold(hold) for hold in row.holds or ()),
        cases=open_cases,
        beside=tuple(case for case in known if case.kind in BESIDE_THE_ORDER),
        promise_first_date=row.promise_first_date,
        promise_date=row.promise_date,
        tracking_token=row.tracking_token,
        confirmed_at=row.confirmed_at,
        completed_at=row.completed_at,
        address_answer=_address_answer(order.ship_to, row.address_checks or ()),
        events=tuple(_event(event) for event in row.order_events or ()),
        promises=tuple(_promise(promise, row.tellings or []) for promise in row.promises or ()),
    )


def _instead(order: Order, row: dict[str, Any]) -> Instead:
    line = order.line(row["line_no"])
    units = UnitRange(line_no=row["root_line"], first=row["root_unit"], count=line.quantity)
    return Instead(line=line, units=units)


def _promise(row: dict[str, Any], tellings: Rows) -> Promise:
    told = (
        Telling(
            channel=one["channel"],
            state=NotificationState(one["state"]),
            sent_at=datetime.fromisoformat(one["sent_at"]) if one["sent_at"] else None,
        )
        for one in tellings
        if one["n"] == row["n"]
    )
    return Promise(
        n=row["n"],
        day=date.fromisoformat(row["promised_date"]),
        source=Source(row["source"]),
        reason=row["reason"],
        at=datetime.fromisoformat(row["at"]),
        shipment_id=row["shipment_id"],
        told=tuple(told),
    )


def _address_answer(to: Address, answers: Iterable[dict[str, Any]]) -> AddressAnswer | None:
    """Return what the carriers said of the address the order goes to now."""
    said = next((answer for answer in answers if answer["address_hash"] == to.digest()), None)
    if said is None:
        return None
    suggestion = Address(**said["suggestion"]) if said["suggestion"] else None
    return AddressAnswer(verdict=Verdict(said["verdict"]), suggestion=suggestion, said=said["said"])


def _alike(conn: Connection, view: OrderView) -> int:
    """Return how many other orders wait for the reason of this one's most urgent case, in the same words."""
    case = most_urgent(view.cases)
    if case is None:
        return 0
    reason = {"the_kind": case.kind.value, "the_note": case.note, "the_order": view.order.order_id}
    others: int = conn.execute(_ALIKE, reason).scalar_one()
    return others


def _without_order(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "order_id"}


def _units(row: dict[str, Any]) -> UnitRange:
    return UnitRange(line_no=row["line_no"], first=row["first_unit"], count=row["quantity"])


def _shipment(row: Row[Any], shipment: dict[str, Any]) -> ShipmentSummary:
    shipment_id = shipment["shipment_id"]
    units = tuple(_units(u) for u in row.unit_ranges or () if u["shipment_id"] == shipment_id)
    parcel = next((_parcel(row, p) for p in row.parcels or () if p["shipment_id"] == shipment_id), None)
    seen = ShipmentView(
        work=WorkStatus(shipment["work_status"]),
        waits_for=WaitsFor(shipment["waits_for"]),
        carrier=parcel.carrier_status if parcel else None,
        units=sum(unit.count for unit in units),
    )
    return ShipmentSummary(
        shipment_id=shipment_id,
        n=shipment["n"],
        location_id=shipment["location_id"],
        work_status=seen.work,
        waits_for=seen.waits_for,
        stage=shipment_stage(seen),
        units=units,
        value=shipment["value"],
        ship_by=datetime.fromisoformat(shipment["ship_by"]),
        outcome=shipment["outcome"],
        parcel=parcel,
        settled=shipment["settled"],
        replaces=shipment["replaces"],
    )


def _part(shipment: ShipmentSummary) -> ShipmentView:
    return ShipmentView(
        work=shipment.work_status,
        waits_for=shipment.waits_for,
        carrier=shipment.parcel.carrier_status if shipment.parcel else None,
        units=sum(unit.count for unit in shipment.units),
        replaced=shipment.settled == Settlement.RESHIP,
    )


def _parcel(row: Row[Any], parcel: dict[str, Any]) -> ParcelView:
    of_parcel = [label for label in row.labels or () if label["parcel_id"] == parcel["parcel_id"]]
    label = of_parcel[-1] if of_parcel else {}
    scans = [scan for scan in row.tracking_events or () if scan["parcel_id"] == parcel["parcel_id"]]
    again_on = _told(row, EventKind.FAILED_ATTEMPT, parcel["shipment_id"], "again_on")
    return ParcelView(
        parcel_id=parcel["parcel_id"],
        n=parcel["n"],
        weight_g=parcel["weight_g"],
        carrier_status=CarrierStatus(parcel["carrier_status"]),
        flags=tuple(Flag(flag) for flag in parcel["flags"]),
        reason=parcel["reason"],
        place=parcel["place"],
        carrier=label.get("carrier") or "",
        service=label.get("service") or "",
        tracking_number=label.get("tracking_number") or "",
        label_state=label.get("state") or "",
        decision=label.get("quotes"),
        edd_date=parcel["edd_date"] and date.fromisoformat(parcel["edd_date"]),
        handed_over_at=_moment(parcel["handed_over_at"]),
        latest_scan_at=_moment(parcel["latest_scan_at"]),
        delivered_at=_moment(parcel["delivered_at"]),
        again_on=date.fromisoformat(again_on) if again_on else None,
        pick_up_until=_moment(_told(row, EventKind.PICKUP_WAITING, parcel["shipment_id"], "until")),
        scans=tuple(_scan(scan) for scan in scans),
    )


def _told(row: Row[Any], kind: EventKind, subject: str, name: str) -> str | None:
    """Return what the customer was told last with news of this kind; None where nothing was."""
    news = (event["data"] for event in row.order_events or () if event["kind"] == kind)
    said = [data[name] for data in news if data.get("subject") == subject and name in data]
    return said[-1] if said else None


def _scan(row: dict[str, Any]) -> ScanView:
    return ScanView(
        at=datetime.fromisoformat(row["occurred_at"]),
        status=CarrierStatus(row["status"]) if row["status"] else None,
        text=row["raw_text"],
        place=row["place"],
        code=row["raw_code"],
        provider=row["provider"],
        is_unknown=row["unknown"],
        standing=Standing(row["standing"]),
        by=row["by"],
        why=row["why"],
    )


def _moment(iso: str | None) -> datetime | None:
    return datetime.fromisoformat(iso) if iso else None


def _payment(payable: int, rows: Rows, payment_link: str | None) -> PaymentSummary:
    seen = [
        PaymentView(status=PaymentStatus(row["status"]), captured=row["captured"], refunded=row["refunded"])
        for row in rows
    ]
    groups = [row["decline_group"] for row in rows if row["decline_group"]]
    return PaymentSummary(
        status=payment_status(payable, seen),
        authorized=sum(row["authorized"] for row in rows if row["status"] in _HELD),
        captured=sum(row["captured"] for row in rows),
        refunded=sum(row["refunded"] for row in rows),
        decline_group=groups[-1] if groups else None,
        confirm_url=next((row["next_action_url"] for row in rows if row["status"] == _CONFIRM), None),
        other_url=payment_link,
    )


def _hold(row: dict[str, Any]) -> Hold:
    return Hold(
        hold_id=row["hold_id"],
        reason=HoldReason(row["reason"]),
        placed_by=row["placed_by"],
        placed_at=datetime.fromisoformat(row["placed_at"]),
        due_at=datetime.fromisoformat(row["due_at"]),
        note=row["note"],
    )


def _case(row: dict[str, Any]) -> Case:
    return Case(
        case_id=row["case_id"],
        kind=CaseKind(row["kind"]),
        subject=row["subject"],
        opened_at=datetime.fromisoformat(row["opened_at"]),
        due_at=datetime.fromisoformat(row["due_at"]),
        note=row["note"],
        called=Owner(row["owner"]) if row["owner"] != OWNER[CaseKind(row["kind"])] else None,
    )


def _event(row: dict[str, Any]) -> EventView:
    at = row["at"] if isinstance(row["at"], datetime) else datetime.fromisoformat(row["at"])
    return EventView(seq=row["seq"], kind=row["kind"], text=row["text"], at=at)


def _page(wanted: OrderFilter) -> Any:
    stage, most_urgent = _STAGE, _ATTENTION
    conditions: Sequence[ColumnElement[bool]] = [
        stage == wanted.stage.value if wanted.stage else true(),
        most_urgent == wanted.attention.value if wanted.attention else true(),
        most_urgent.is_not(None) if wanted.needs_attention else true(),
        orders.c.customer_id == wanted.customer_id if wanted.customer_id else true(),
        orders.c.placed_at > wanted.placed_after if wanted.placed_after else true(),
        _older_than(wanted.cursor) if wanted.cursor else true(),
    ]
    return _ROWS.where(*conditions)


def _hold_reasons() -> ColumnElement[Any]:
    reasons = func.array_agg(aggregate_order_by(holds.c.reason, holds.c.reason))
    return (
        select(func.coalesce(reasons, array([], type_=Text)))
        .where(holds.c.order_id == orders.c.order_id, holds.c.state == "active")
        .scalar_subquery()
    )


_STAGE: Final = stage_of()
_ATTENTION: Final = attention_of()
_LISTED: Final = ("order_id", "promise_date", "total", "currency", "customer_id", "placed_at", "placed")
_ROWS: Final = select(
    *orders.c[_LISTED],
    _STAGE.label("stage"),
    _ATTENTION.label("attention"),
    _hold_reasons().label("holds"),
).order_by(orders.c.placed_at.desc(), orders.c.order_id.desc())


def _order_row(row: Row[Any]) -> OrderRow:
    return OrderRow(
        order_id=row.order_id,
        stage=Stage(row.stage),
        attention=CaseKind(row.attention) if row.attention else None,
        holds=tuple(row.holds),
        promise_date=row.promise_date,
        total=row.total,
        currency=row.currency,
        customer_id=row.customer_id,
        placed_at=row.placed_at,
        placed=row.placed,
    )


def _cursor(last: OrderRow) -> str:
    return base64.urlsafe_b64encode(f"{last.placed_at.isoformat()} {last.order_id}".encode()).decode()


def _older_than(cursor: str) -> ColumnElement[bool]:
    try:
        placed_at, order_id = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ", 1)
        moment = datetime.fromisoformat(placed_at)
    except (ValueError, binascii.Error) as error:
        raise BadCursor(cursor) from error
    return tuple_(orders.c.placed_at, orders.c.order_id) < tuple_(moment, order_id)


def _found(conn: Connection, text: str) -> tuple[str, ...]:
    with_number = select(labels.c.order_id).where(labels.c.tracking_number == text)
    query = (
        select(orders.c.order_id)
        .where(
            or_(
                orders.c.order_id == text,
                orders.c.external_ref == text,
                func.lower(orders.c.email) == text.lower(),
                orders.c.order_id.in_(with_number),
            )
        )
        .order_by(orders.c.placed_at.desc(), orders.c.order_id.desc())
        .limit(_FOUND_LIMIT)
    )
    return tuple(conn.scalars(query))
